import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { EpochMs, PackId, SpaceId } from "../../src/lib/brand.ts";
import { codeOf } from "../../src/lib/fault.ts";
import {
  bootOf,
  firstEntry,
  isAtRest,
  isInFlight,
  JournalEntry,
  next,
  recover,
  type UpdateEvent,
  type UpdateJob,
} from "../../src/release/journal.ts";
import { type PackName, UPDATE_STATES } from "../../src/release/state.ts";

const NOW = 1_795_000_000_000 as EpochMs;

function packOf(counter: number): PackName {
  return {
    id: `pack-${counter}` as PackId,
    sha256: counter.toString(16).padStart(64, "0"),
    releaseCounter: counter,
    spaceId: "space-1" as SpaceId,
  };
}

const job: UpdateJob = { jobId: "job-00001", ring: "canary", attemptEpoch: 0, untilMs: NOW + 1000 };
const error = { code: "shadow_disagrees", message: "they disagree" };
const A = packOf(1);
const B = packOf(2);

/** The straight way from rest to `committed`. */
const WAY: readonly UpdateEvent[] = [
  { kind: "agreed", job, candidate: B },
  { kind: "fetching" },
  { kind: "fetched" },
  { kind: "staged" },
  { kind: "tested" },
  { kind: "reembedding" },
  { kind: "reembedded-to", cursor: "ada" },
  { kind: "reembedded", withoutCrops: 0 },
  { kind: "shadowed", stats: undefined },
  { kind: "switched" },
  { kind: "passed" },
];

const serving = (active: PackName | undefined, previous?: PackName): JournalEntry =>
  JournalEntry.parse({
    ...firstEntry(NOW),
    state: "committed",
    job,
    ...(active === undefined ? {} : { active }),
    ...(previous === undefined ? {} : { previous }),
  });

/** The entries on the straight way, by state; the last one of each. */
function onTheWay(from: JournalEntry): ReadonlyMap<string, JournalEntry> {
  const entries = new Map<string, JournalEntry>();
  let entry = from;
  for (const event of WAY) {
    entry = next(entry, event, NOW);
    entries.set(entry.state, entry);
  }
  return entries;
}

test("the straight way ends committed, with what served before kept to go back to", () => {
  const states = [...onTheWay(serving(A)).keys()];
  assert.deepEqual(states, UPDATE_STATES.slice(1, -2));
  const last = onTheWay(serving(A)).get("committed");
  assert.deepEqual([last?.active, last?.previous, last?.candidate], [B, A, undefined]);
  assert.equal(last?.cursor, undefined);
});

test("a failure in any state keeps the old pack and ends rolled back", () => {
  for (const [state, entry] of onTheWay(serving(A))) {
    if (!isInFlight(entry.state)) continue;
    const failed = next(entry, { kind: "failed", error }, NOW);
    assert.deepEqual([failed.state, failed.active, failed.candidate], ["failed", A, B], state);
    const back = next(failed, { kind: "rolled-back" }, NOW);
    assert.deepEqual([back.state, back.active, back.error], ["rolled-back", A, error], state);
    assert.deepEqual(next(back, WAY[0] as UpdateEvent, NOW).error, undefined);
  }
});

test("what cannot happen is a fault and no state", () => {
  const entry = serving(A);
  for (const event of WAY.slice(1))
    assert.equal(codeOf(thrown(() => next(entry, event, NOW))), "update_illegal", event.kind);
  for (const [state, found] of onTheWay(entry)) {
    if (isAtRest(found.state)) continue;
    assert.equal(
      codeOf(thrown(() => next(found, WAY[0] as UpdateEvent, NOW))),
      "update_illegal",
      state,
    );
    assert.equal(
      codeOf(thrown(() => next(found, { kind: "reverted", error }, NOW))),
      "update_illegal",
      state,
    );
  }
  const onFactory = firstEntry(NOW);
  assert.equal(
    codeOf(thrown(() => next(onFactory, { kind: "reverted", error }, NOW))),
    "update_illegal",
  );
});

test("going back on request leads to the previous pack, then to the factory pack", () => {
  const first = next(serving(B, A), { kind: "reverted", error }, NOW);
  assert.deepEqual([first.state, first.active, first.candidate], ["failed", A, B]);
  const back = next(first, { kind: "rolled-back" }, NOW);
  const second = next(back, { kind: "reverted", error }, NOW);
  assert.deepEqual([second.active, second.candidate], [undefined, A]);
});

test("a boot goes on where an update was, with the old pack serving until the switch", () => {
  for (const [state, entry] of onTheWay(serving(A))) {
    const boot = recover(entry, NOW);
    assert.equal(boot.entry.state, state);
    const expected = state === "activating" || state === "probation" ? B : entry.active;
    assert.deepEqual(boot.pack, expected, state);
  }
  assert.equal(
    recover(onTheWay(serving(A)).get("re-embedding") as JournalEntry, NOW).entry.cursor,
    "ada",
  );
});

test("a candidate that was switched to gets one boot, and is gone before the second loads it", () => {
  for (const state of ["activating", "probation"]) {
    const entry = onTheWay(serving(A)).get(state) as JournalEntry;
    const first = recover(entry, NOW);
    assert.deepEqual([first.entry.state, first.pack], [state, B]);
    const second = recover(first.entry, NOW);
    assert.deepEqual([second.entry.state, second.entry.error?.code], ["failed", "crashed"]);
    assert.deepEqual(second.pack, A);
  }
});

test("a stop in good order is not held against the candidate", () => {
  let entry = onTheWay(serving(A)).get("probation") as JournalEntry;
  for (let boot = 0; boot < 10; boot += 1)
    entry = recover(next(entry, { kind: "stopped" }, NOW), NOW).entry;
  assert.equal(entry.state, "probation");
});

test("a candidate that takes the machine down before the switch is given up as well", () => {
  let entry = onTheWay(serving(A)).get("self-tested") as JournalEntry;
  let boots = 0;
  for (; entry.state === "self-tested"; boots += 1) entry = recover(entry, NOW).entry;
  assert.deepEqual([entry.state, boots], ["failed", 6]);
});

test("boots while it is fetched, or long before the next, are held against nobody", () => {
  const fetching = onTheWay(serving(A)).get("downloading") as JournalEntry;
  let entry = fetching;
  for (let boot = 0; boot < 50; boot += 1) entry = recover(entry, NOW).entry;
  assert.equal(entry.state, "downloading");
  entry = onTheWay(serving(A)).get("shadow") as JournalEntry;
  for (let boot = 0; boot < 50; boot += 1)
    entry = next(recover(entry, NOW).entry, { kind: "lasted" }, NOW);
  assert.equal(entry.state, "shadow");
  const served = recover(onTheWay(serving(A)).get("probation") as JournalEntry, NOW).entry;
  assert.equal(next(served, { kind: "lasted" }, NOW).tries, served.tries);
});

test("a pack that rots on disk is followed by the one before it, and that by the factory pack", () => {
  const usable =
    (...packs: readonly PackName[]) =>
    (pack: PackName) =>
      packs.some(({ sha256 }) => sha256 === pack.sha256);
  const both = bootOf(serving(B, A), usable(A, B), NOW);
  assert.deepEqual([both.pack, both.entry.state], [B, "committed"]);
  const older = bootOf(serving(B, A), usable(A), NOW);
  assert.deepEqual([older.pack, older.entry.active, older.entry.previous], [A, A, undefined]);
  assert.equal(older.entry.error?.code, "pack_damaged");
  const factory = bootOf(serving(B, A), usable(), NOW);
  assert.deepEqual([factory.pack, factory.entry.active], [undefined, undefined]);
});

test("a candidate that rots on probation fails, and what served before it serves", () => {
  const entry = onTheWay(serving(A)).get("probation") as JournalEntry;
  const boot = bootOf(entry, (pack) => pack.sha256 === A.sha256, NOW);
  assert.deepEqual([boot.pack, boot.entry.state, boot.entry.candidate], [A, "failed", B]);
  const nothing = bootOf(entry, () => false, NOW);
  assert.deepEqual([nothing.pack, nothing.entry.state], [undefined, "rolled-back"]);
});

test("an entry that contradicts itself is none", () => {
  const good = onTheWay(serving(A)).get("shadow") as JournalEntry;
  assert.ok(JournalEntry.safeParse(good).success);
  for (const wrong of [
    { ...good, candidate: undefined },
    { ...good, job: undefined },
    { ...good, error },
    { ...good, state: "failed" },
    { ...good, state: "committed" },
    { ...good, state: "somewhere" },
    { ...good, tries: -1 },
    { ...good, surprise: 1 },
  ])
    assert.ok(!JournalEntry.safeParse(wrong).success, JSON.stringify(wrong));
});

/** What may happen to a device, in any order: illegal events must fault and change nothing. */
const event: fc.Arbitrary<UpdateEvent> = fc.oneof(
  { weight: 12, arbitrary: fc.constant({ kind: "stopped" } as const) },
  {
    weight: 6,
    arbitrary: fc
      .integer({ min: 1, max: 4 })
      .map((counter) => ({ kind: "agreed", job, candidate: packOf(counter) }) as const),
  },
  ...WAY.slice(1).map((each) => ({ weight: 6, arbitrary: fc.constant(each) })),
  { weight: 2, arbitrary: fc.constant({ kind: "failed", error } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: "reverted", error } as const) },
  { weight: 6, arbitrary: fc.constant({ kind: "rolled-back" } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: "satisfied", job } as const) },
);
const happening = fc.oneof(
  { weight: 4, arbitrary: event.map((each) => ({ kind: "event" as const, event: each })) },
  {
    weight: 1,
    arbitrary: fc
      .subarray([1, 2, 3, 4], { minLength: 3 })
      .map((kept) => ({ kind: "crash" as const, kept })),
  },
);

test("whatever happens, the entry is legal, survives its text, and one usable pack serves after every crash", () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 80 }), (happenings) => {
      let entry = firstEntry(NOW);
      let committed: PackName | undefined;
      for (const each of happenings) {
        if (each.kind === "event") {
          const before = entry;
          try {
            entry = next(entry, each.event, NOW);
          } catch (fault) {
            assert.equal(codeOf(fault), "update_illegal");
            continue;
          }
          if (each.event.kind === "passed") committed = before.candidate;
          if (each.event.kind === "reverted") committed = entry.active;
          assert.ok(
            isAtRest(before.state) || before.active === entry.active || entry.state === "committed",
          );
        } else {
          const isUsable = (pack: PackName): boolean => each.kept.includes(pack.releaseCounter);
          const boot = bootOf(entry, isUsable, NOW);
          assert.ok(boot.pack === undefined || isUsable(boot.pack), "an unusable pack would serve");
          assert.ok(
            boot.pack?.sha256 === boot.entry.active?.sha256 ||
              boot.pack?.sha256 === boot.entry.candidate?.sha256,
          );
          if (boot.entry.error?.code === "pack_damaged") committed = boot.entry.active;
          entry = boot.entry;
        }
        assert.deepEqual(JournalEntry.parse(JSON.parse(JSON.stringify(entry))), entry);
        assert.equal(
          entry.active?.sha256,
          committed?.sha256,
          "only a commit or a return moves what serves",
        );
      }
    }),
    { numRuns: 1000, seed: 5 },
  );
});

test("no chain of crashes lasts: a candidate that only crashes ends with the old pack", () => {
  for (const [state, start] of onTheWay(serving(A))) {
    if (["checked", "downloading", "verified"].includes(state)) continue;
    let entry = start;
    for (let boot = 0; boot < 8; boot += 1) entry = recover(entry, NOW).entry;
    assert.ok(!isInFlight(entry.state), state);
  }
});

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (fault) {
    return fault;
  }
  return assert.fail("nothing was thrown");
}
