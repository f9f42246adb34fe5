/** From drafts to the repository that is served: complete, verified as a device does it, then switched. */
import { link, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { codeOf, Fault } from "../../src/lib/fault.ts";
import { draftStates } from "./drafts.ts";
import { copyDurably, exists, writeDurably } from "./files.ts";
import {
  type Drafts,
  effectiveRoot,
  type Published,
  readDrafts,
  readPublished,
} from "./published.ts";
import {
  type AnyMetadata,
  addSignature,
  bytesOf,
  countSignatures,
  newSnapshot,
  newTimestamp,
  publicKeysOf,
  type RootMetadata,
  type TargetsMetadata,
} from "./roles.ts";
import { verifyStaging } from "./verify-staging.ts";
import { isReachable, type Means, signerNamed, type Workspace } from "./workspace.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface Publication {
  readonly root: number;
  readonly targets: number;
  readonly snapshot: number;
  readonly timestamp: number;
  /** Files that were new in the repository, in the order in which they were put there. */
  readonly files: readonly string[];
}

/**
 * Publishes the drafts; without any, renews timestamp and, when it is half over, snapshot. Nothing in
 * the repository changes before the whole has been verified.
 *
 * @throws Fault `threshold_missing`, `targets_expired`, `staging_refused`, and those of signing
 */
export async function publishMetadata(
  workspace: Workspace,
  means: Means,
  signal: AbortSignal,
): Promise<Publication> {
  const published = await readPublished(workspace.repository);
  const drafts = await readDrafts(workspace);
  const root = effectiveRoot(published, drafts);
  const targets = drafts.targets ?? published?.targets;
  if (targets === undefined)
    throw new Fault(
      "nothing_initialised",
      "there is no list of packs: begin with ostiary-release init",
    );
  enoughSignatures(workspace, published, drafts, root, targets);
  notExpired(root, targets, means);
  const files = await metadataFiles(workspace, published, drafts, root, targets, means);
  await stage(workspace, files);
  await verifyStaging(workspace, published, targets, means, signal);
  const put = await switchOver(workspace);
  await rm(workspace.next, { recursive: true, force: true });
  await rm(workspace.staging, { recursive: true, force: true });
  return { ...files.versions, files: put };
}

function enoughSignatures(
  workspace: Workspace,
  published: Published | undefined,
  drafts: Drafts,
  root: RootMetadata,
  targets: TargetsMetadata,
): void {
  for (const { role, counts, isComplete, missing } of draftStates(workspace, published, drafts)) {
    if (isComplete) continue;
    const short = counts.find(({ have, threshold }) => have < threshold);
    throw new Fault(
      "threshold_missing",
      `${role} has ${short?.have} of ${short?.threshold} signatures: have it signed by ${missing.join(" or ")}`,
    );
  }
  const { have, threshold } = countSignatures(root, "targets", targets);
  if (have < threshold)
    throw new Fault(
      "threshold_missing",
      `the published list of packs has ${have} of ${threshold} signatures of the keys in the new root: ostiary-release sign --renew targets`,
    );
}

function notExpired(root: RootMetadata, targets: TargetsMetadata, means: Means): void {
  const now = new Date(means.now());
  const expired = root.signed.isExpired(now)
    ? "root"
    : targets.signed.isExpired(now)
      ? "targets"
      : "";
  if (expired !== "")
    throw new Fault(
      "metadata_expired",
      `${expired} has expired, devices would refuse it: ostiary-release sign --renew ${expired}`,
    );
}

interface MetadataFiles {
  readonly versions: Omit<Publication, "files">;
  /** Content by name below `metadata/`. */
  readonly content: ReadonlyMap<string, Uint8Array>;
}

async function metadataFiles(
  workspace: Workspace,
  published: Published | undefined,
  drafts: Drafts,
  root: RootMetadata,
  targets: TargetsMetadata,
  means: Means,
): Promise<MetadataFiles> {
  const { expiry } = workspace.settings;
  const now = means.now();
  const content = new Map<string, Uint8Array>();
  if (drafts.root !== undefined)
    content.set(`${root.signed.version}.root.json`, bytesOf(drafts.root));
  const targetsBytes = bytesOf(targets);
  if (drafts.targets !== undefined)
    content.set(`${targets.signed.version}.targets.json`, targetsBytes);
  const isKept =
    published !== undefined &&
    isSnapshotGood(published, root, targets, expiry.snapshotDays * DAY_MS, now);
  let snapshot: AnyMetadata;
  if (isKept) snapshot = published.snapshotMetadata;
  else {
    const life = {
      version: (published?.snapshot.version ?? 0) + 1,
      expiresMs: now + expiry.snapshotDays * DAY_MS,
    };
    snapshot = newSnapshot(life, targets.signed.version, targetsBytes);
    await signOnline(workspace, root, "snapshot", snapshot, means);
    content.set(`${life.version}.snapshot.json`, bytesOf(snapshot));
  }
  const life = {
    version: (published?.timestamp.version ?? 0) + 1,
    expiresMs: now + expiry.timestampHours * HOUR_MS,
  };
  const timestamp = newTimestamp(life, now, snapshot.signed.version, bytesOf(snapshot));
  await signOnline(workspace, root, "timestamp", timestamp, means);
  content.set("timestamp.json", bytesOf(timestamp));
  const versions = {
    root: root.signed.version,
    targets: targets.signed.version,
    snapshot: snapshot.signed.version,
    timestamp: life.version,
  };
  return { versions, content };
}

/** Says the same, is signed by today's keys, and lasts half its life still. */
function isSnapshotGood(
  published: Published,
  root: RootMetadata,
  targets: TargetsMetadata,
  lifeMs: number,
  now: number,
): boolean {
  const { have, threshold } = countSignatures(root, "snapshot", published.snapshotMetadata);
  return (
    targets.signed.version === published.targets.signed.version &&
    have >= threshold &&
    Date.parse(published.snapshot.expires) - now > lifeMs / 2
  );
}

async function signOnline(
  workspace: Workspace,
  root: RootMetadata,
  role: "snapshot" | "timestamp",
  metadata: AnyMetadata,
  means: Means,
): Promise<void> {
  for (const publicKey of publicKeysOf(root, role)) {
    const name = workspace.nameOf(publicKey);
    if (name === undefined || !(await isReachable(workspace, name, means))) continue;
    addSignature(metadata, publicKey, (await signerNamed(workspace, name, means)).sign);
    const { have, threshold } = countSignatures(root, role, metadata);
    if (have >= threshold) return;
  }
  const names = publicKeysOf(root, role).map(
    (key) => workspace.nameOf(key) ?? "a key that release.yaml does not know",
  );
  throw new Fault(
    "threshold_missing",
    `${role} must be signed by ${names.join(" and ")}: bring the key`,
  );
}

/** The repository as it will be. Large files are linked where that can be. */
async function stage(workspace: Workspace, files: MetadataFiles): Promise<void> {
  const { staging, repository, next } = workspace;
  await rm(staging, { recursive: true, force: true });
  for (const source of [repository, next]) {
    for (const folder of ["blobs", "targets", "metadata"]) {
      for (const path of await filesUnder(join(source, folder)))
        await linkOrCopy(path, join(staging, relative(source, path)));
    }
  }
  for (const [name, bytes] of files.content) {
    const path = join(staging, "metadata", name);
    // A link into the repository must not be written through.
    await rm(path, { force: true });
    await writeDurably(path, bytes);
  }
}

export async function filesUnder(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
    (thrown: unknown) => {
      if (codeOf(thrown) === "ENOENT") return [];
      throw thrown;
    },
  );
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".new"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  if (await exists(to)) return;
  await mkdir(dirname(to), { recursive: true });
  await link(from, to).catch(() => copyDurably(from, to));
}

/**
 * What names are hashes or versions first, `timestamp.json` last: until then every client sees the old
 * repository, from then on the new one.
 */
async function switchOver(workspace: Workspace): Promise<readonly string[]> {
  const { staging, repository } = workspace;
  const metadata = (await filesUnder(join(staging, "metadata"))).map((path) =>
    relative(staging, path),
  );
  const ofRole = (role: string): readonly string[] =>
    metadata.filter((path) => path.endsWith(`.${role}.json`));
  const blobs = (await filesUnder(join(staging, "blobs"))).map((path) => relative(staging, path));
  const targets = (await filesUnder(join(staging, "targets"))).map((path) =>
    relative(staging, path),
  );
  const order = [
    ...blobs,
    ...targets,
    ...ofRole("root"),
    ...ofRole("targets"),
    ...ofRole("snapshot"),
    "metadata/timestamp.json",
  ];
  const put: string[] = [];
  for (const path of order) {
    const isContentNamed = path.startsWith("blobs/") || path.startsWith("targets/");
    const to = join(repository, path);
    if (await exists(to)) {
      if (isContentNamed || (await isSame(join(staging, path), to))) continue;
    }
    await copyDurably(join(staging, path), to);
    put.push(path);
  }
  return put;
}

async function isSame(a: string, b: string): Promise<boolean> {
  return (await readFile(a)).equals(await readFile(b));
}
