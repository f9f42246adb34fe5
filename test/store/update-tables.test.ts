import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import type { EpochMs, PackId, SpaceId } from "../../src/lib/brand.ts";
import { firstEntry, type JournalEntry, next } from "../../src/release/journal.ts";
import type { PackName } from "../../src/release/state.ts";
import { APPLICATION_ID } from "../../src/store/migrations.ts";
import { now, StoreDirectory } from "./support.ts";

const KID = "0123456789abcdef";
const pack: PackName = {
  id: "pack-2" as PackId,
  sha256: "2".repeat(64),
  releaseCounter: 2,
  spaceId: "space-2" as SpaceId,
};
const job = { jobId: "job-00001", ring: "canary", attemptEpoch: 0, untilMs: now + 1000 };
const checked: JournalEntry = next(firstEntry(now), { kind: "agreed", job, candidate: pack }, now);

describe("journal of updates", () => {
  test("begins idle and holds what was written last, also over a restart", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      assert.equal(store.updates.entry().state, "idle");
      store.updates.change({ entry: checked }, now);
    }
    using store = directory.open();
    assert.deepEqual(store.updates.entry(), checked);
  });

  test("a change of state is an event of the same transaction; a cursor is none", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    store.updates.change({ entry: checked }, now);
    store.updates.change({ entry: { ...checked, tries: 1 } }, now);
    const failed = next(
      checked,
      { kind: "failed", error: { code: "crashed", message: "it crashed" } },
      now,
    );
    store.updates.change({ entry: failed }, now);
    const bodies = store.outbox.history(1, 10).map(({ type, body }) => [type, JSON.parse(body)]);
    assert.deepEqual(
      bodies.map(([type, body]) => [type, body.state, body.pack, body.error?.code]),
      [
        ["update", "checked", "pack-2", undefined],
        ["update", "failed", "pack-2", "crashed"],
      ],
    );
  });

  test("all of a change is kept or nothing", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const unwritable = { code: 1n } as unknown as string;
    assert.throws(() =>
      store.updates.change(
        {
          entry: checked,
          release: { counter: 9 },
          deny: { sha256: pack.sha256, attemptEpoch: Number.NaN, code: unwritable },
        },
        now,
      ),
    );
    assert.equal(store.updates.entry().state, "idle");
    assert.equal(store.updates.floors().release, 0);
    assert.equal(store.outbox.bounds(), undefined);
  });

  test("floors rise; only the release floor is lowered, and only on purpose", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const { updates } = store;
    updates.change({ release: { counter: 7 }, timeMs: 5000 as EpochMs }, now);
    updates.change({ release: { counter: 3 }, timeMs: 4000 as EpochMs }, now);
    assert.deepEqual(updates.floors(), { release: 7, timeMs: 5000, metadata: undefined });
    updates.change({ release: { counter: 3, lowered: true } }, now);
    assert.equal(updates.floors().release, 3);
    updates.change({ metadata: { anchor: "a".repeat(64), root: 2 } }, now);
    assert.deepEqual(updates.floors().metadata, { anchor: "a".repeat(64), root: 2 });
  });

  test("the number of a desired state rises by key and keeps the job that had it first", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const { updates } = store;
    assert.equal(updates.lastDesired(KID), undefined);
    updates.change({ desired: { kid: KID, seq: 4, jobId: "job-00004" } }, now);
    updates.change({ desired: { kid: KID, seq: 4, jobId: "job-other" } }, now);
    updates.change({ desired: { kid: KID, seq: 2, jobId: "job-00002" } }, now);
    assert.deepEqual(updates.lastDesired(KID), { seq: 4, jobId: "job-00004" });
    assert.equal(updates.lastDesired("f".repeat(16)), undefined);
  });

  test("a denied pack stays so until it is allowed; the oldest of very many are forgotten", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const { updates } = store;
    const denied = { sha256: pack.sha256, attemptEpoch: 3, code: "shadow_disagrees" };
    updates.change({ deny: denied }, now);
    assert.deepEqual(updates.denied(pack.sha256), denied);
    for (let index = 1; index <= 300; index += 1) {
      const sha256 = index.toString(16).padStart(64, "0");
      updates.change({ deny: { ...denied, sha256 } }, (now + index) as EpochMs);
    }
    assert.equal(updates.denied(pack.sha256), undefined);
    const newest = (300).toString(16).padStart(64, "0");
    assert.ok(updates.denied(newest));
    updates.change({ allow: newest }, now);
    assert.equal(updates.denied(newest), undefined);
  });

  test("numbers of reports rise over restarts, however the process ends", () => {
    using directory = new StoreDirectory();
    let last = 0;
    for (let start = 0; start < 3; start += 1) {
      using store = directory.open();
      for (let report = 0; report < 300; report += 1) {
        const seq = store.updates.nextReportSeq();
        assert.ok(seq > last);
        last = seq;
      }
    }
  });

  test("a store of the version before gets the tables and keeps what it holds", () => {
    using directory = new StoreDirectory();
    directory.open()[Symbol.dispose]();
    const path = join(directory.path, "store.db");
    {
      const old = new DatabaseSync(path);
      old.exec(
        "DROP TABLE update_journal; DROP TABLE update_floor; DROP TABLE update_denied; PRAGMA user_version=1",
      );
      assert.equal(old.prepare("PRAGMA application_id").get()?.["application_id"], APPLICATION_ID);
      old.close();
    }
    using store = directory.open();
    assert.equal(store.updates.entry().state, "idle");
  });

  test("an entry that this version does not know is not guessed at", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      store.updates.change({ entry: checked }, now);
    }
    const database = new DatabaseSync(join(directory.path, "store.db"));
    database.exec(`UPDATE update_journal SET entry = '{"schema":2}'`);
    database.close();
    using store = directory.open();
    assert.throws(() => store.updates.entry(), { code: "journal_unreadable" });
  });
});
