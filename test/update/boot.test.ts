import assert from "node:assert/strict";
import { readlinkSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { EpochMs } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { firstEntry, type JournalEntry, next } from "../../src/release/journal.ts";
import type { UpdateJournal } from "../../src/release/journal-port.ts";
import { bootFailed, bootPack } from "../../src/update/boot.ts";
import { Packs } from "../../src/update/packs.ts";
import { now, StoreDirectory } from "../store/support.ts";
import { RecordingLog } from "../support/log.ts";
import { Scratch, type TinyPack, tinyPack, writePack } from "./support.ts";

const FACTORY = tinyPack({ counter: 1 });
const OLD = tinyPack({ counter: 2, spaceId: "space-2" });
const NEW = tinyPack({ counter: 3, spaceId: "space-3" });
const job = { jobId: "job-00001", ring: "canary", attemptEpoch: 0, untilMs: now + 1000 };

async function device(...installed: readonly TinyPack[]) {
  const scratch = new Scratch();
  const directory = new StoreDirectory();
  const store = directory.open();
  const factory = writePack(scratch.at("factory"), FACTORY);
  const packs = await Packs.open({ directory: scratch.at("packs"), factory });
  for (const pack of installed) {
    await packs.begin(pack.manifest);
    for (const { name, into } of await packs.missing(pack.name.sha256, pack.pack))
      writeFileSync(into, pack.blobs.get(name) ?? "");
    await packs.stage(pack.name.sha256);
  }
  const log = new RecordingLog();
  const deps = { journal: store.updates, packs, log };
  return {
    scratch,
    log,
    deps,
    journal: store.updates,
    boot: async () => (await bootPack(deps, now)).pack.id,
    links: () =>
      ["active", "previous"].map((name) => {
        try {
          return readlinkSync(scratch.at("packs", name));
        } catch {
          return undefined;
        }
      }),
    [Symbol.dispose]: () => {
      store[Symbol.dispose]();
      scratch[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

const committed: JournalEntry = { ...firstEntry(now), state: "committed", job, active: OLD.name };

function onProbation(): JournalEntry {
  let entry = next(committed, { kind: "agreed", job, candidate: NEW.name }, now);
  for (const kind of ["fetching", "fetched", "staged", "tested", "reembedding"] as const)
    entry = next(entry, { kind }, now);
  entry = next(entry, { kind: "reembedded", withoutCrops: 0 }, now);
  entry = next(entry, { kind: "shadowed", stats: undefined }, now);
  return next(entry, { kind: "switched" }, now);
}

test("a device that never had an update serves the factory pack", async () => {
  using at = await device();
  assert.equal(await at.boot(), "pack-1");
  assert.deepEqual(at.links(), [undefined, undefined]);
});

test("links that say something else are mended to what the journal says", async () => {
  using at = await device(OLD, NEW);
  at.journal.change({ entry: committed }, now);
  await at.deps.packs.point(NEW.name, OLD.name);
  assert.equal(await at.boot(), "pack-2");
  assert.deepEqual(at.links(), [OLD.name.sha256, undefined]);
});

test("the boot that tries a candidate is written down before anything of it is loaded", async () => {
  using at = await device(OLD, NEW);
  at.journal.change({ entry: onProbation() }, now);
  assert.equal(await at.boot(), "pack-3");
  assert.equal(at.journal.entry().tries, 2);
  assert.deepEqual(at.links(), [NEW.name.sha256, OLD.name.sha256]);
  assert.equal(await at.boot(), "pack-2");
  assert.deepEqual([at.journal.entry().state, at.links()[0]], ["failed", OLD.name.sha256]);
});

test("a candidate that does not load is not loaded a second time", async () => {
  using at = await device(OLD, NEW);
  at.journal.change({ entry: onProbation() }, now);
  assert.equal(await at.boot(), "pack-3");
  bootFailed(at.deps, new Fault("golden_mismatch", "it is another model"), now);
  assert.equal(at.journal.entry().error?.code, "golden_mismatch");
  assert.equal(await at.boot(), "pack-2");
});

test("what else fails at a start is not the pack's fault", async () => {
  using at = await device(OLD);
  at.journal.change({ entry: committed }, now);
  bootFailed(at.deps, new Fault("pack_corrupt", "whatever"), now);
  assert.deepEqual(at.journal.entry(), committed);
});

test("a directory that is gone is followed by the factory pack, and the journal knows", async () => {
  using at = await device(OLD);
  at.journal.change({ entry: committed }, now);
  rmSync(at.scratch.at("packs", OLD.name.sha256), { recursive: true });
  assert.equal(await at.boot(), "pack-1");
  const { state, active, error } = at.journal.entry();
  assert.deepEqual([state, active, error?.code], ["rolled-back", undefined, "pack_damaged"]);
  assert.deepEqual(at.links(), [undefined, undefined]);
});

test("a journal that cannot be read or written starts nothing new", async () => {
  using at = await device(OLD, NEW);
  at.journal.change({ entry: onProbation() }, now);
  const broken = (change: Partial<UpdateJournal>): UpdateJournal => ({
    ...at.deps.journal,
    ...change,
  });
  const fault = new Fault("store_full", "the disk is full");
  const fail = (): never => {
    throw fault;
  };
  for (const [journal, serves] of [
    [broken({ entry: fail }), "pack-1"],
    [broken({ change: fail }), "pack-2"],
  ] as const) {
    const served = await bootPack({ ...at.deps, journal }, (now + 1) as EpochMs);
    assert.equal(served.pack.id, serves);
  }
  assert.ok(at.log.entries.some(({ fields }) => fields["code"] === "store_full"));
});
