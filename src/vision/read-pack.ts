/** `pack.json` from a directory, without loading any model: main reads it for its thresholds. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { Pack } from "../embedding/pack.ts";
import { Fault } from "../lib/fault.ts";
import { parseJson } from "../lib/json.ts";
import type { PackOnDisk } from "../release/ports.ts";
import { sha256 } from "./sha256.ts";

const PACK_JSON_MAX_BYTES = 4 * 1024 * 1024;

/** @throws Fault `pack_missing` or `pack_invalid` */
export async function readPack(directory: string): Promise<Pack> {
  return (await readPackOnDisk(directory)).pack;
}

/** `pack.json` alone: the files that it names are verified where they are loaded. @throws as {@link readPack} */
export async function readPackOnDisk(directory: string): Promise<PackOnDisk> {
  const file = join(directory, "pack.json");
  const found = await stat(file).catch((cause: unknown) => {
    throw new Fault(
      "pack_missing",
      `no pack at ${directory}; make one with "ostiary models import"`,
      { cause },
    );
  });
  if (found.size > PACK_JSON_MAX_BYTES)
    throw new Fault(
      "pack_invalid",
      `${file} is larger than ${PACK_JSON_MAX_BYTES} bytes; get the pack again`,
    );
  const bytes = await readFile(file);
  const parsed = Pack.safeParse(parseJson(bytes.toString("utf8")));
  if (parsed.success) return { directory, pack: parsed.data, sha256: sha256(bytes) };
  throw new Fault(
    "pack_invalid",
    `${file} is no valid pack: ${z.prettifyError(parsed.error).slice(0, 500)}; get the pack again`,
  );
}

/**
 * A model file that `pack` names, verified.
 *
 * @throws Fault `pack_corrupt`: it is missing or not the file that the pack was released with
 */
export async function readPackFile(
  directory: string,
  pack: Pack,
  name: string,
): Promise<Uint8Array> {
  const entry = pack.files.find((file) => file.name === name);
  if (entry === undefined)
    throw new Fault(
      "pack_invalid",
      `pack ${pack.id} uses ${name} but does not list it; get the pack again`,
    );
  const path = join(directory, name);
  const bytes = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  const content = bytes === entry.bytes ? await readFile(path) : undefined;
  if (content !== undefined && sha256(content) === entry.sha256) return content;
  const cause =
    content === undefined
      ? `it has ${bytes ?? "no"} bytes instead of ${entry.bytes}`
      : "its sha256 differs";
  throw new Fault(
    "pack_corrupt",
    `${path} is not the file of pack ${pack.id}: ${cause}; install the pack again`,
  );
}
