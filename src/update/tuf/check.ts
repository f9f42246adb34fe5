/** One check of the repository: metadata, then the wanted pack's `pack.json`. Runs in a child process. */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { posix } from "node:path";
import { type TargetFile, Updater } from "tuf-js";
import { Pack } from "../../embedding/pack.ts";
import type { Clock } from "../../lib/clock.ts";
import { codeOf, Fault } from "../../lib/fault.ts";
import { parseJson } from "../../lib/json.ts";
import { TargetCustom, targetPathOf } from "../../release/repository.ts";
import { faultOf } from "./faults.ts";
import { type FetchDeps, fetchBytes } from "./fetch.ts";
import { MetadataFetcher } from "./fetcher.ts";
import type { CheckRequest } from "./messages.ts";
import type { Checked, Found, WantedPack } from "./source.ts";
import { Transport, urlBelow } from "./transport.ts";
import {
  type MetadataFiles,
  makeWorkDirectory,
  readTrusted,
  readWorkDirectory,
  removeWorkDirectory,
  writeTrusted,
} from "./trusted.ts";
import { raised, type Verified, verifiedOf } from "./versions.ts";

const PACK_JSON_MAX_BYTES = 4 * 1024 * 1024;

export async function runCheck(
  request: CheckRequest,
  clock: Clock,
  signal: AbortSignal,
): Promise<Checked> {
  let verified: Verified | undefined;
  try {
    await mkdir(request.stateDirectory, { recursive: true, mode: 0o700 });
    const transport = await Transport.open(request.options);
    const deps = { options: request.options, transport, clock, signal };
    const refreshed = await refresh(request, deps);
    verified = refreshed.verified;
    if (refreshed.fault !== undefined) throw refreshed.fault;
    const found = await findPack(request, refreshed.updater, deps);
    return { outcome: found, floors: verified.floors, issuedAt: verified.issuedAt };
  } catch (thrown) {
    signal.throwIfAborted();
    const fault = faultOf(thrown, undefined);
    return {
      outcome: { kind: "refused", fault, isExpired: fault.code === "tuf_expired" },
      floors: verified?.floors,
      issuedAt: verified?.issuedAt,
    };
  } finally {
    await removeWorkDirectory(request.stateDirectory).catch(() => undefined);
  }
}

interface Refreshed {
  readonly updater: Updater;
  readonly verified: Verified;
  /** Why the metadata is not good for an update; what was verified on the way counts all the same. */
  readonly fault: Fault | undefined;
}

/**
 * Brings the metadata up to date and keeps what was verified, also when a later step fails: a root that
 * was seen is not forgotten because the timestamp behind it has expired.
 */
async function refresh(request: CheckRequest, deps: FetchDeps): Promise<Refreshed> {
  const pinned = await pinnedRoot(request.pinnedRoot);
  const anchor = createHash("sha256").update(pinned).digest("hex");
  const { stateDirectory: directory } = request;
  const fetcher = new MetadataFetcher(deps);
  const { work, updater } = await openUpdater(request, pinned, anchor, fetcher);
  let fault: Fault | undefined;
  try {
    await updater.refresh();
  } catch (thrown) {
    deps.signal.throwIfAborted();
    fault = faultOf(thrown, fetcher.fault);
  }
  // A write that failed may have left half a file.
  const files = fault?.code === "metadata_unwritable" ? undefined : await readWorkDirectory(work);
  if (files === undefined) throw fault;
  const seen = verifiedOf(anchor, files);
  const floors = raised(request.floors, seen.floors, fault === undefined);
  await keep(directory, anchor, files);
  return { updater, verified: { floors, issuedAt: seen.issuedAt }, fault };
}

async function keep(directory: string, anchor: string, files: MetadataFiles): Promise<void> {
  try {
    await writeTrusted(directory, anchor, files);
  } catch (cause) {
    throw new Fault(
      "metadata_unwritable",
      `verified metadata cannot be written to ${directory} (${codeOf(cause)}): check space and rights`,
      { retry: "later", cause },
    );
  }
}

async function pinnedRoot(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadableRoot(path, codeOf(cause), cause);
  }
}

/** From what was verified last; from the pinned root where that is lost, torn, or rotten. */
async function openUpdater(
  request: CheckRequest,
  pinned: Buffer,
  anchor: string,
  fetcher: MetadataFetcher,
): Promise<{ readonly work: string; readonly updater: Updater }> {
  const { stateDirectory: directory, options } = request;
  const metadataBaseUrl = urlBelow(options.url, "metadata/").href;
  const kept = await readTrusted(directory, anchor);
  for (const files of kept === undefined ? [{ root: pinned }] : [kept, { root: pinned }]) {
    const work = await makeWorkDirectory(directory, files);
    try {
      const updater = new Updater({ metadataDir: work, metadataBaseUrl, fetcher });
      return { work, updater };
    } catch (cause) {
      if (files !== kept) throw unreadableRoot(request.pinnedRoot, "no signed root", cause);
    }
  }
  throw unreadableRoot(request.pinnedRoot, "not tried", undefined);
}

function unreadableRoot(path: string, why: string, cause: unknown): Fault {
  return new Fault(
    "tuf_root_unreadable",
    `the pinned root ${path} cannot be used (${why}): put it there again with scripts/install.sh --trust`,
    { retry: "later", cause },
  );
}

/** @throws Fault about the target, before a byte of it is fetched where that can be */
async function findPack(request: CheckRequest, updater: Updater, deps: FetchDeps): Promise<Found> {
  const { wanted } = request;
  const path = targetPathOf(wanted.id);
  const info = await updater.getTargetInfo(path);
  if (info === undefined) {
    throw new Fault(
      "target_missing",
      `the repository lists no pack ${wanted.id}: it was delisted or not published yet`,
      { retry: "later" },
    );
  }
  const sha256 = info.hashes["sha256"];
  const target = customOf(info);
  if (sha256 !== wanted.sha256 || target.releaseCounter !== wanted.releaseCounter)
    throw disagrees(wanted, target);
  fitsHere(target, request);
  const packJson = await fetchTarget(info, wanted.sha256, deps);
  return { kind: "found", target, packJson: agreeing(packJson, target) };
}

function customOf(info: TargetFile): TargetCustom {
  const parsed = TargetCustom.safeParse(info.custom);
  if (parsed.success && targetPathOf(parsed.data.packId) === info.path) return parsed.data;
  throw new Fault(
    "target_invalid",
    `the repository describes ${info.path} in a way that this version does not understand: update ostiary, or publish the pack again`,
  );
}

function disagrees(wanted: WantedPack, target: TargetCustom): Fault {
  return new Fault(
    "target_disagrees",
    `the director wants ${wanted.id} with counter ${wanted.releaseCounter} and sha256 ${wanted.sha256.slice(0, 12)}…, the repository lists counter ${target.releaseCounter}: publish a new desired state`,
  );
}

function fitsHere(target: TargetCustom, { runtime }: CheckRequest): void {
  if (!target.hardware.some((name) => name === runtime.hardware)) {
    throw new Fault(
      "wrong_hardware",
      `pack ${target.packId} is for ${target.hardware.join(", ")}, this is ${runtime.hardware}: choose another pack for this device`,
    );
  }
  if (isOlder(runtime.version, target.minimumRuntime)) {
    throw new Fault(
      "runtime_too_old",
      `pack ${target.packId} needs ostiary ${target.minimumRuntime}, this is ${runtime.version}: update ostiary first`,
    );
  }
}

/** Whether dotted version `a` is lower than `b`; what is no number counts as 0. */
function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split(/[.+-]/).map((part) => Number(part) || 0));
  for (let i = 0; i < 3; i += 1) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

async function fetchTarget(info: TargetFile, sha256: string, deps: FetchDeps): Promise<Buffer> {
  const { dir, base } = posix.parse(info.path);
  const url = urlBelow(deps.options.url, `targets/${dir}/${sha256}.${base}`);
  if (info.length > PACK_JSON_MAX_BYTES) {
    throw new Fault(
      "too_large",
      `the repository lists ${info.path} with ${info.length} bytes, ${PACK_JSON_MAX_BYTES} are allowed: publish a smaller one`,
    );
  }
  const bytes = await fetchBytes(url, info.length, deps);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (bytes.length === info.length && actual === sha256) return bytes;
  throw new Fault(
    "tuf_hash",
    `${info.path} is not the file that was signed (${bytes.length} of ${info.length} bytes): it was changed or cut on the way`,
    { retry: "later" },
  );
}

/** @returns the same bytes */
function agreeing(packJson: Buffer, target: TargetCustom): Buffer {
  const parsed = Pack.safeParse(parseJson(packJson.toString("utf8")));
  const pack = parsed.data;
  const bytes = pack?.files.reduce((sum, file) => sum + file.bytes, 0);
  const agrees =
    pack?.id === target.packId &&
    pack.releaseCounter === target.releaseCounter &&
    pack.embedder.spaceId === target.spaceId &&
    bytes === target.bytes;
  if (agrees) return packJson;
  throw new Fault(
    "target_invalid",
    `pack.json of ${target.packId} does not say what the repository says of it, or not in a way that this version understands`,
  );
}
