/** The two authorities of updates, as `install.sh --trust` puts them on a device. */
import { readFile } from "node:fs/promises";
import { codeOf, Fault } from "../lib/fault.ts";
import { KeyRing } from "../mqtt/envelope.ts";
import type { UpdateOptions } from "../update/options.ts";

/** Raw Ed25519 public keys in base64, one a line; what follows a `#`, and empty lines, say nothing. */
export function directorKeysOf(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line !== "");
}

/** @throws Fault `director_unreadable`, `director_empty`, `bad_public_key` */
export async function readDirectors({ director }: UpdateOptions["trust"]): Promise<KeyRing> {
  const keys = directorKeysOf(await textOf(director, "director_unreadable", "the director's key"));
  if (keys.length === 0)
    throw new Fault(
      "director_empty",
      `${director} holds no key: put the director's public key there with install.sh --trust`,
    );
  return new KeyRing(keys);
}

/** Whether the root can be one. TUF itself judges its signatures. @throws Fault `root_unreadable`, `root_invalid` */
export async function checkRoot({ root }: UpdateOptions["trust"]): Promise<{
  readonly version: number;
  readonly expires: string;
}> {
  const text = await textOf(root, "root_unreadable", "the TUF root");
  const signed = signedOf(text);
  if (signed === undefined)
    throw new Fault(
      "root_invalid",
      `${root} is no TUF root: take metadata/1.root.json of your release repository`,
    );
  return signed;
}

function signedOf(
  text: string,
): { readonly version: number; readonly expires: string } | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null || !("signed" in json)) return undefined;
  const { signed } = json;
  if (typeof signed !== "object" || signed === null) return undefined;
  const { _type: type, version, expires } = signed as Readonly<Record<string, unknown>>;
  return type === "root" && typeof version === "number" && typeof expires === "string"
    ? { version, expires }
    : undefined;
}

async function textOf(path: string, code: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new Fault(
      code,
      `${what} ${path} cannot be read (${codeOf(cause)}): sudo scripts/install.sh --trust ROOT DIRECTOR`,
      { cause },
    );
  }
}
