/** `keys new`: an Ed25519 key whose public half goes into the device's configuration. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../lib/fault.ts";
import { keyIdOf, rawPublicKeyOf } from "../mqtt/envelope.ts";
import type { Action } from "./command.ts";
import { EXIT, refused, usage } from "./exit.ts";
import { printJson } from "./terminal.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export interface PublicHalf {
  /** Raw 32 bytes, base64. */
  readonly publicKey: string;
  readonly kid: string;
}

export function publicHalfOf(key: KeyObject): PublicHalf {
  const raw = rawPublicKeyOf(key);
  return { publicKey: Buffer.from(raw).toString("base64"), kid: keyIdOf(raw) };
}

/**
 * Writes a new private key (PKCS #8 PEM, mode 0600).
 *
 * @throws `refused` when the file exists: a key is never overwritten
 */
export async function writeNewKey(
  directory: string,
  name: string,
): Promise<PublicHalf & { readonly file: string }> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${name}.pem`);
  try {
    await using handle = await open(file, "wx", 0o600);
    await handle.chmod(0o600);
    await handle.writeFile(privateKey.export({ type: "pkcs8", format: "pem" }));
    await handle.sync();
  } catch (fault) {
    if (codeOf(fault) === "EEXIST")
      throw refused("exists", `${file} exists already: choose another name, or remove it yourself`);
    throw fault;
  }
  return { file, ...publicHalfOf(publicKey) };
}

export const keysNew: Action = async ({ args, terminal }) => {
  const name = args.operand(0);
  if (!NAME.test(name))
    throw usage(`"${name}" cannot name a key: use letters, digits, dot, dash, underscore`);
  const key = await writeNewKey(args.text("out"), name);
  if (args.flag("json")) printJson(terminal, { schema: 1, name, ...key });
  else {
    terminal.out(
      `private key  ${key.file} (mode 0600; keep it with whoever sends commands)\nkey id       ${key.kid}\n\n`,
    );
    terminal.out(
      `In the device's configuration:\n\ncontrol:\n  keys:\n    - name: ${name}\n      publicKey: ${key.publicKey}\n      role: administrator\n`,
    );
  }
  return EXIT.ok;
};
