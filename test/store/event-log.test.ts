import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { epochMs } from "../../src/lib/brand.ts";
import type { Store } from "../../src/store/store.ts";
import { now, StoreDirectory } from "./support.ts";

const append = (store: Store, type = "state", at = now) =>
  store.transact((tx) => tx.appendEvent(type, { type }, at));
const seqs = (events: readonly { readonly seq: number }[]) => events.map((event) => event.seq);

/** Every number from 1 is an event, within an announced gap, or (`before` the kept history) acknowledged. */
function assertGapless(store: Store): void {
  const events = store.outbox.history(0, 10_000);
  let expected: number | undefined;
  for (const event of events) {
    const first =
      event.type === "gap" ? (JSON.parse(event.body) as { fromSeq: number }).fromSeq : event.seq;
    if (expected !== undefined) assert.equal(first, expected);
    expected = event.seq + 1;
  }
  assert.deepEqual(store.check().problems, []);
}

describe("event log", () => {
  test("numbers are gapless over restarts and rolled back transactions", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      assert.equal(append(store), 1);
      assert.throws(() =>
        store.transact((tx) => {
          tx.appendEvent("lost", {}, now);
          throw new Error("no");
        }),
      );
      assert.equal(append(store), 2);
    }
    using store = directory.open();
    assert.equal(append(store), 3);
    assert.deepEqual(seqs(store.outbox.unsent(10)), [1, 2, 3]);
    assert.deepEqual(store.outbox.bounds(), { first: 1, last: 3 });
  });

  test("what a broker took is not sent again, in whatever order it answered, and stays for replay", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      for (let index = 0; index < 5; index += 1) append(store);
      store.outbox.markSent(3);
      store.outbox.markSent(1);
      assert.deepEqual(seqs(store.outbox.unsent(2)), [2, 4]);
    }
    using store = directory.open();
    assert.deepEqual(seqs(store.outbox.unsent(10)), [2, 4, 5]);
    assert.deepEqual(seqs(store.outbox.history(2, 3)), [2, 3, 4]);
  });

  test("listeners hear of appends after the commit, once per transaction, until they stop", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    let heard = 0;
    const stop = store.outbox.onAppended(() => {
      heard += 1;
      assert.equal(store.outbox.unsent(10).length, 2);
    });
    store.transact((tx) => {
      tx.appendEvent("a", {}, now);
      tx.appendEvent("b", {}, now);
    });
    store.transact(() => undefined);
    stop();
    append(store);
    assert.equal(heard, 1);
  });

  test("at the bound the acknowledged go first, silently", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ eventsMax: 20 });
    for (let index = 0; index < 20; index += 1) append(store);
    for (let seq = 1; seq <= 10; seq += 1) store.outbox.markSent(seq);
    append(store);
    const unsent = store.outbox.unsent(100);
    assert.ok(unsent.every((event) => event.type === "state"));
    assert.deepEqual(seqs(unsent), [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
    assert.ok((store.outbox.bounds()?.first ?? 0) > 1);
    assertGapless(store);
  });

  test("unsent context goes before unsent decisions, and a gap stands in its place", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ eventsMax: 20 });
    for (let index = 0; index < 10; index += 1) append(store, "decision");
    for (let index = 0; index < 11; index += 1) append(store, "state");
    const unsent = store.outbox.unsent(100);
    assert.equal(unsent.filter((event) => event.type === "decision").length, 10);
    const gap = unsent.find((event) => event.type === "gap");
    assert.equal(gap?.seq, (JSON.parse(gap?.body ?? "{}") as { toSeq: number }).toSeq);
    assert.equal((JSON.parse(gap?.body ?? "{}") as { fromSeq: number }).fromSeq, 11);
    assert.ok(unsent.length <= 18);
    assertGapless(store);
  });

  test("decisions alone are dropped too, oldest first, rather than the disk filled", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ eventsMax: 20 });
    for (let index = 0; index < 100; index += 1) append(store, "decision");
    const unsent = store.outbox.unsent(100);
    assert.ok(unsent.length <= 20);
    assert.equal(unsent[0]?.type, "gap");
    assert.equal((JSON.parse(unsent[0]?.body ?? "{}") as { fromSeq: number }).fromSeq, 1);
    assert.equal(unsent.at(-1)?.seq, 100);
    assertGapless(store);
  });

  test("events past their age go, and the unsent ones leave a gap", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ eventAgeMaxMs: 10_000 });
    for (let index = 0; index < 4; index += 1) append(store);
    append(store, "state", epochMs(now + 60_000));
    assert.deepEqual(
      store.outbox.unsent(10).map((event) => [event.seq, event.type]),
      [
        [4, "gap"],
        [5, "state"],
      ],
    );
    assertGapless(store);
  });

  test("acknowledgements out of order leave no holes behind", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ eventsMax: 16, eventBytesMax: 4096 });
    for (let seq = 1; seq <= 40; seq += 1) {
      store.transact((tx) => tx.appendEvent("decision", { text: "x".repeat(200) }, now));
      if (seq % 3 === 0) store.outbox.markSent(seq);
    }
    assertGapless(store);
  });

  test("whatever is appended and acknowledged, the count stays bounded and every number is accounted for", () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("append" as const),
        type: fc.constantFrom("decision", "state"),
        size: fc.nat(600),
      }),
      fc.record({ kind: fc.constant("ack" as const), back: fc.nat(15) }),
      fc.record({ kind: fc.constant("reopen" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        using directory = new StoreDirectory();
        let store = directory.open({ eventsMax: 16, eventBytesMax: 4096 });
        let last = 0;
        for (const each of steps) {
          if (each.kind === "append") {
            last += 1;
            assert.equal(
              store.transact((tx) =>
                tx.appendEvent(each.type, { text: "x".repeat(each.size) }, now),
              ),
              last,
            );
          } else if (each.kind === "ack") {
            store.outbox.markSent(Math.max(1, last - each.back));
          } else {
            store[Symbol.dispose]();
            store = directory.open({ eventsMax: 16, eventBytesMax: 4096 });
          }
          const kept = store.outbox.history(0, 1000);
          assert.ok(kept.length <= 16);
          assert.ok(kept.reduce((sum, event) => sum + event.body.length, 0) <= 4096 + 700);
          if (last > 0) assert.equal(store.outbox.bounds()?.last, last);
        }
        assertGapless(store);
        store[Symbol.dispose]();
      }),
      { numRuns: 10 },
    );
  });
});
