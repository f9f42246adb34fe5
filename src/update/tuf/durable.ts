/** Files that appear whole and synced, or not at all. */
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Written beside `path`, synced, renamed over it, the name synced. */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  await using handle = await open(temporary, "w", 0o600);
  await handle.writeFile(bytes);
  await handle.sync();
  await renameDurably(temporary, path);
}

/** @param from its content is synced already */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await using directory = await open(dirname(to), "r");
  await directory.sync();
}
