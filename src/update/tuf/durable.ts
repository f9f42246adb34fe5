/** Files that appear whole and synced, or not at all. */
import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { syncPath, writeSynced } from "../files.ts";

/** Written beside `path`, synced, renamed over it, the name synced. */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await writeSynced(temporary, bytes);
  await renameDurably(temporary, path);
}

/** @param from its content is synced already */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncPath(dirname(to));
}
