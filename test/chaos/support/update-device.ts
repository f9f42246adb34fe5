/**
 * A device without models: real store, packs, journal, updater, re-embedding and file transfers, over a
 * repository in a directory; the runtime obeys, and embeds by counting.
 *
 *     <root>/factory/      pack 1
 *     <root>/repository/   blobs, and the manifest of pack 3
 *     <root>/state/        store and packs: all that a crash may touch
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { reembedFrom } from "../../../src/control/reembed.ts";
import type { EpochMs, IdentityId, SpaceId } from "../../../src/lib/brand.ts";
import type { Clock } from "../../../src/lib/clock.ts";
import type { Candidate, PackOnDisk, Runtime } from "../../../src/release/ports.ts";
import { deviceKeyOf } from "../../../src/store/device-key.ts";
import { StoreLimits } from "../../../src/store/limits.ts";
import { Store } from "../../../src/store/store.ts";
import { createClock } from "../../../src/system/clock.ts";
import { bootPack } from "../../../src/update/boot.ts";
import { UpdateOptions } from "../../../src/update/options.ts";
import { Packs } from "../../../src/update/packs.ts";
import { Releases } from "../../../src/update/tuf/releases.ts";
import type { ReleaseSource } from "../../../src/update/tuf/source.ts";
import { Updater } from "../../../src/update/updater.ts";
import { now, person, seeded, unitVector } from "../../store/support.ts";
import { RecordingLog } from "../../support/log.ts";
import { STATS, WELL } from "../../update/rig.ts";
import { type TinyPack, tinyPack, writePack } from "../../update/support.ts";

const ADDRESS = "hq/north-door";
export const PACKS = {
  factory: tinyPack({ counter: 1 }),
  /** Serves when a life begins. */
  old: tinyPack({ counter: 2, spaceId: "space-2" }),
  /** Is installed, and sent back. It shares the detector with both. */
  fresh: tinyPack({ counter: 3, spaceId: "space-3" }),
} as const;
const PEOPLE = ["ada", "bob", "eve"];
const LANDMARKS = [1, 2, 3, 4, 5].map((at) => ({ x: at, y: at }));
const never = new AbortController().signal;

export function openStore(root: string): Store {
  const keys = deviceKeyOf(
    Uint8Array.from({ length: 32 }, (_, index) => index),
    randomBytes,
  );
  const directory = join(root, "state");
  const deps = { log: new RecordingLog(), randomBytes };
  return Store.open({ directory, keys, limits: StoreLimits.parse({}) }, deps);
}

export function openPacks(root: string): Promise<Packs> {
  return Packs.open({ directory: join(root, "state", "packs"), factory: join(root, "factory") });
}

/** Lays out what a life begins with: people with crops, the old pack serving. */
export async function layOut(root: string): Promise<void> {
  const { factory, old, fresh } = PACKS;
  mkdirSync(join(root, "state"), { recursive: true });
  mkdirSync(join(root, "repository", "blobs"), { recursive: true });
  writePack(join(root, "factory"), factory);
  for (const pack of [old, fresh])
    for (const file of pack.pack.files)
      writeFileSync(
        join(root, "repository", "blobs", file.sha256),
        pack.blobs.get(file.name) ?? "",
      );
  writeFileSync(join(root, "repository", "pack.json"), fresh.manifest);
  using store = openStore(root);
  const random = seeded(11);
  store.transact((tx) => {
    for (const id of PEOPLE) {
      tx.putIdentity(person(id), now);
      const sourceCrop = { png: new Uint8Array(600).fill(7), landmarks: LANDMARKS };
      const vector = unitVector(random, 16);
      const { spaceId } = old.name;
      tx.addTemplates(id as IdentityId, [{ spaceId, vector, sourceCrop }], now);
    }
  });
  const packs = await openPacks(root);
  await packs.begin(old.manifest);
  for (const { name, into } of await packs.missing(old.name.sha256, old.pack))
    writeFileSync(into, old.blobs.get(name) ?? "");
  await packs.stage(old.name.sha256);
  await packs.point(old.name, undefined);
  const entry = {
    schema: 1,
    state: "committed",
    sinceMs: now,
    active: old.name,
    tries: 0,
  } as const;
  store.updates.change({ entry, release: { counter: 2 } }, now);
}

/** What a boot serves; the journal and the links are what it has made of them. */
export async function boot(root: string, store: Store): Promise<PackOnDisk> {
  const deps = { journal: store.updates, packs: await openPacks(root), log: new RecordingLog() };
  return bootPack(deps, createClock().epochMs());
}

/** A life: update to the fresh pack, keep it, send it back. Goes on wherever an earlier one was ended. */
export async function live(root: string): Promise<void> {
  using store = openStore(root);
  const serving = await boot(root, store);
  const packs = await openPacks(root);
  const clock = createClock();
  const options = UpdateOptions.parse({
    repository: { url: `${pathToFileURL(join(root, "repository")).href}/`, diskReserveBytes: 0 },
    probation: { durationMs: 0 },
  });
  const updater = new Updater({ address: ADDRESS, builtAt: 0 as EpochMs }, options, {
    clock,
    packs,
    log: new RecordingLog(),
    random: () => 0,
    journal: store.updates,
    runtime: runtimeOf(serving, store, clock),
    source: sourceOf(root, options, clock),
    verifyDesired: () => true,
    clockTrusted: () => true,
    temperatureC: async () => undefined,
    publish: () => undefined,
  });
  const stop = new AbortController();
  const running = updater.run(stop.signal);
  const { fresh } = PACKS;
  const isOver = (): boolean => store.updates.denied(fresh.name.sha256) !== undefined;
  while (!isOver()) {
    const { state, active } = store.updates.entry();
    if (state === "committed" && active?.sha256 === fresh.name.sha256)
      await updater.rollBack(never);
    else await updater.check(never);
    await clock.sleep(1);
  }
  stop.abort();
  await running;
}

function runtimeOf(serving: PackOnDisk, store: Store, clock: Clock): Runtime {
  let active = serving;
  const coverage = (spaceId: SpaceId) => ({
    missing: store.reembedding.missing(active.pack.embedder.spaceId, spaceId),
  });
  return {
    active: () => active,
    coverage,
    deferral: () => undefined,
    probation: () => WELL,
    retainSpaces: (spaceIds) => store.retainSpaces([active.pack.embedder.spaceId, ...spaceIds]),
    switchTo: async (pack) => {
      active = pack;
    },
    openCandidate: async ({ pack }) => candidateOf(pack.embedder.spaceId, pack.id, store, clock),
  };
}

function candidateOf(
  spaceId: SpaceId,
  packId: PackOnDisk["pack"]["id"],
  store: Store,
  clock: Clock,
): Candidate {
  const random = seeded(13);
  const loaded = { packId, spaceId, provider: "cpu" as const, refused: [] };
  return {
    selfTest: async () => ({ loaded, goldenCosine: 1, p95Ms: 1, rssBytes: 1 }),
    reembed: async (cursor, onProgress, signal) => {
      const embed = async (crops: readonly unknown[]) => crops.map(() => unitVector(random, 16));
      const log = new RecordingLog();
      const deps = { store, clock, log, spaceId, dimension: 16, embed };
      const onPage = (done: IdentityId): void => onProgress(done, 1, 1);
      const filled = await reembedFrom(cursor as IdentityId | undefined, deps, onPage, signal);
      return { ...filled, withoutCrops: [] };
    },
    shadow: async () => STATS,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** Real transfers; what TUF would say of the one pack is known. */
function sourceOf(root: string, { repository, trust }: UpdateOptions, clock: Clock): ReleaseSource {
  const releases = new Releases(
    {
      repository,
      pinnedRoot: trust.root,
      stateDirectory: join(root, "state", "tuf"),
      runtime: { hardware: "x64", version: "0.1.0" },
    },
    { clock, log: new RecordingLog() },
  );
  const { fresh } = PACKS;
  return {
    fetchBlob: releases.fetchBlob,
    fetchDesired: async () => desiredOf(fresh),
    check: async () => ({
      floors: {
        anchor: "a".repeat(64),
        root: 1,
        onlineKeys: "b".repeat(64),
        timestamp: 1,
        snapshot: 1,
        targets: 1,
      },
      issuedAt: now,
      outcome: {
        kind: "found",
        packJson: readFileSync(join(root, "repository", "pack.json")),
        target: {
          kind: "pack",
          packId: fresh.name.id,
          releaseCounter: fresh.name.releaseCounter,
          spaceId: fresh.name.spaceId,
          hardware: ["x64"],
          minimumRuntime: "0.1.0",
          bytes: 1,
        },
      },
    }),
  };
}

function desiredOf({ name: { id, sha256, releaseCounter } }: TinyPack): string {
  const payload = JSON.stringify({
    schema: 1,
    kind: "desired",
    aud: ADDRESS,
    jobId: "job-00001",
    seq: 1,
    pack: { id, sha256, releaseCounter },
    ring: "canary",
    issuedAt: "2026-01-05T08:00:00Z",
    from: "2026-01-05T08:00:00Z",
    until: "2096-01-05T08:00:00Z",
  });
  return JSON.stringify({ payload, kid: "0".repeat(16), sig: `${"A".repeat(86)}==` });
}
