/** Metadata as it is: published in the repository, and drafted in `next/`. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, Fault, messageOf } from "../../src/lib/fault.ts";
import { writeDurably } from "./files.ts";
import {
  type AnyMetadata,
  bytesOf,
  parseMetadata,
  parseRoot,
  parseTargets,
  type RootMetadata,
  type TargetsMetadata,
} from "./roles.ts";
import type { Workspace } from "./workspace.ts";

export interface Published {
  readonly root: RootMetadata;
  readonly timestamp: { readonly version: number; readonly expires: string };
  readonly snapshot: { readonly version: number; readonly expires: string };
  /** Still signed by the keys that its root names. */
  readonly snapshotMetadata: AnyMetadata;
  readonly targets: TargetsMetadata;
}

export interface Drafts {
  readonly root: RootMetadata | undefined;
  readonly targets: TargetsMetadata | undefined;
}

/**
 * What clients of this repository trust now.
 *
 * @returns undefined when nothing was published
 * @throws Fault `repository_damaged`
 */
export async function readPublished(repository: string): Promise<Published | undefined> {
  const metadata = join(repository, "metadata");
  const rootVersion = Math.max(0, ...(await rootVersions(metadata)));
  const timestampBytes = await readOptional(join(metadata, "timestamp.json"));
  if (rootVersion === 0 || timestampBytes === undefined) return undefined;
  try {
    const root = parseRoot(await readFile(join(metadata, `${rootVersion}.root.json`)));
    const timestamp = parseMetadata("timestamp", timestampBytes).signed;
    const snapshotVersion = "snapshotMeta" in timestamp ? timestamp.snapshotMeta.version : 0;
    const snapshotMetadata = parseMetadata(
      "snapshot",
      await readFile(join(metadata, `${snapshotVersion}.snapshot.json`)),
    );
    const { signed: snapshot } = snapshotMetadata;
    const targetsVersion = "meta" in snapshot ? snapshot.meta["targets.json"]?.version : 0;
    const targets = parseTargets(await readFile(join(metadata, `${targetsVersion}.targets.json`)));
    return { root, timestamp, snapshot, snapshotMetadata, targets };
  } catch (cause) {
    throw new Fault(
      "repository_damaged",
      `${metadata} does not hold what its timestamp names (${messageOf(cause)}): restore it from a copy`,
      { cause },
    );
  }
}

/** Versions of root in a metadata directory, ascending. */
export async function rootVersions(metadata: string): Promise<readonly number[]> {
  const names = await readdir(metadata).catch(() => []);
  return names
    .flatMap((name) => /^(\d+)\.root\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** @throws Fault `draft_damaged` */
export async function readDrafts(workspace: Workspace): Promise<Drafts> {
  const read = async <T>(name: string, parse: (bytes: Buffer) => T): Promise<T | undefined> => {
    const path = join(workspace.next, name);
    const bytes = await readOptional(path);
    if (bytes === undefined) return undefined;
    try {
      return parse(bytes);
    } catch (cause) {
      throw new Fault(
        "draft_damaged",
        `${path} is no TUF metadata (${messageOf(cause)}): remove next/ and begin the release again`,
        { cause },
      );
    }
  };
  return {
    root: await read("root.json", parseRoot),
    targets: await read("targets.json", parseTargets),
  };
}

export async function writeDraft(
  workspace: Workspace,
  role: "root" | "targets",
  metadata: AnyMetadata,
): Promise<void> {
  await writeDurably(join(workspace.next, `${role}.json`), bytesOf(metadata));
}

/** The root that will count after the next publication. @throws Fault `nothing_initialised` */
export function effectiveRoot(published: Published | undefined, drafts: Drafts): RootMetadata {
  const root = drafts.root ?? published?.root;
  if (root !== undefined) return root;
  throw new Fault(
    "nothing_initialised",
    "there is neither a published root nor a draft: begin with ostiary-release init",
  );
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((thrown: unknown) => {
    if (codeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  });
}
