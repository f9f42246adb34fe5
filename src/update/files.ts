/** Files that are there whole or not at all, and stay there when the power goes. */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { open, readlink, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../lib/fault.ts";

/** Bytes and names alike: what was written before it is on the disk when this returns. */
export async function syncPath(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(path, "w", 0o600);
  await handle.writeFile(bytes);
  await handle.sync();
}

/**
 * Points a symbolic link in `directory` at `target`, or takes it away. A crash leaves the old one or the
 * new one, never none.
 */
export async function pointLink(
  directory: string,
  name: string,
  target: string | undefined,
): Promise<void> {
  const path = join(directory, name);
  if ((await linkTarget(path)) === target) return;
  if (target === undefined) {
    await rm(path, { force: true });
  } else {
    const fresh = join(directory, `.${name}.new`);
    await rm(fresh, { force: true });
    await symlink(target, fresh);
    await rename(fresh, path);
  }
  await syncPath(dirname(path));
}

/** What a symbolic link says; undefined when there is none. */
export async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (thrown) {
    if (codeOf(thrown) === "ENOENT" || codeOf(thrown) === "EINVAL") return undefined;
    throw thrown;
  }
}

/** Lower-case hex, without holding up the event loop; undefined when the file cannot be read. */
export async function sha256OfFile(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    return hash.digest("hex");
  } catch {
    return undefined;
  }
}

/** The same at once, for a start that must know before it goes on. */
export function sha256OfFileNow(path: string): string | undefined {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch {
    return undefined;
  }
}
