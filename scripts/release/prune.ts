/** Files of packs that nobody can ask for any more. */
import { readFile, rm } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { Pack } from "../../src/embedding/pack.ts";
import { blobPathOf } from "../../src/release/repository.ts";
import { hashedPathOf, listedIn } from "./listing.ts";
import { filesUnder } from "./publication.ts";
import { readPublished } from "./published.ts";
import { parseTargets } from "./roles.ts";

/**
 * Removes blobs and targets that neither the published list nor the one before it names: a client in
 * the middle of a download has read one of the two. Metadata stays.
 *
 * @returns what was removed, relative to the repository
 */
export async function prune(repository: string): Promise<readonly string[]> {
  const published = await readPublished(repository);
  if (published === undefined) return [];
  const lists = [published.targets];
  const before = await readFile(
    join(repository, "metadata", `${published.targets.signed.version - 1}.targets.json`),
  ).catch(() => undefined);
  if (before !== undefined) lists.push(parseTargets(before));
  const kept = new Set<string>();
  for (const listed of lists.flatMap((list) => listedIn(list))) {
    const path = join("targets", hashedPathOf(listed));
    kept.add(path);
    const pack = Pack.parse(JSON.parse(await readFile(join(repository, path), "utf8")));
    for (const { sha256 } of pack.files) kept.add(blobPathOf(sha256));
  }
  const removed: string[] = [];
  for (const folder of ["targets", "blobs"]) {
    for (const file of await filesUnder(join(repository, folder))) {
      const path = relative(repository, file);
      // What others put there is not ours to remove.
      if (kept.has(path) || !/^[0-9a-f]{64}(?:\.pack\.json)?$/.test(basename(path))) continue;
      await rm(file);
      removed.push(path);
    }
  }
  return removed;
}
