/** Files that appear whole and synced, or not at all. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, copyFile, mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  await using handle = await open(temporary, "w", mode);
  await handle.writeFile(content);
  await handle.sync();
  await renameDurably(temporary, path);
}

/** Readers of `to` see the old file or the whole new one. */
export async function copyDurably(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  const temporary = `${to}.new`;
  await copyFile(from, temporary);
  await using handle = await open(temporary, "r+");
  await handle.chmod(0o644);
  await handle.sync();
  await renameDurably(temporary, to);
}

async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await using directory = await open(dirname(to), "r");
  await directory.sync();
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
