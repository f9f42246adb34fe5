import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { epochMs } from "../../src/lib/brand.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { idOf, now, person, StoreDirectory, stamp } from "./support.ts";

const DAY = 24 * 3600 * 1000;
const ok = (): Answer => ({ ok: true });
const never = (): never => assert.fail("a second effect");

describe("command inbox", () => {
  test("a known id gets its stored answer and no second effect, also after a restart", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      assert.deepEqual(
        store.inbox.commitCommand(stamp(5), () => ({ ok: true, data: { n: 1 } })),
        { kind: "done", answer: { ok: true, data: { n: 1 } } },
      );
    }
    using store = directory.open();
    assert.deepEqual(store.inbox.commitCommand(stamp(5), never), {
      kind: "repeated",
      answer: { ok: true, data: { n: 1 } },
    });
    assert.deepEqual(store.inbox.answered(stamp(5).kid, "command-5"), { ok: true, data: { n: 1 } });
  });

  test("an unknown id needs a number above the last of its key and stream", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    store.inbox.commitCommand(stamp(5), ok);
    for (const seq of [5, 4, 0])
      assert.equal(
        store.inbox.commitCommand(stamp(seq, { id: `other-${seq}` }), never).kind,
        "replayed",
      );
    assert.equal(store.inbox.commitCommand(stamp(4, { stream: "stream-2" }), ok).kind, "done");
    assert.equal(store.inbox.commitCommand(stamp(4, { kid: "fedcba9876543210" }), ok).kind, "done");
    assert.equal(store.inbox.commitCommand(stamp(9), ok).kind, "done", "gaps are no fault");
  });

  test("the final answer of a long command replaces its first", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    store.inbox.commitCommand(stamp(1), () => ({ ok: true, progress: 0 }));
    store.inbox.finishCommand(stamp(1).kid, "command-1", now, (tx) => {
      tx.putIdentity(person("ann"), now);
      return { ok: true, data: "done" };
    });
    assert.deepEqual(store.inbox.commitCommand(stamp(1), never), {
      kind: "repeated",
      answer: { ok: true, data: "done" },
    });
    assert.ok(store.record.identity(idOf("ann")));
  });

  test("at the bound the oldest answers go, and their commands are replays then", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ answersMax: 3 });
    for (let seq = 1; seq <= 5; seq += 1) store.inbox.commitCommand(stamp(seq), ok);
    assert.equal(store.inbox.answered(stamp(1).kid, "command-2"), undefined);
    assert.deepEqual(store.inbox.answered(stamp(1).kid, "command-3"), { ok: true });
    assert.equal(store.inbox.commitCommand(stamp(2), never).kind, "replayed");
  });

  test("answers go after a day; the numbers stay", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    store.inbox.commitCommand(stamp(1), ok);
    store.inbox.commitCommand(stamp(2, { at: epochMs(now + DAY - 1) }), ok);
    assert.ok(store.inbox.answered(stamp(1).kid, "command-1"));
    store.inbox.commitCommand(stamp(3, { at: epochMs(now + DAY + 1) }), ok);
    assert.equal(store.inbox.answered(stamp(1).kid, "command-1"), undefined);
    assert.equal(
      store.inbox.commitCommand(stamp(1, { at: epochMs(now + DAY + 2) }), never).kind,
      "replayed",
    );
  });

  test("too many streams within a day refuse new ones, and known ones go on; rested ones make room", () => {
    using directory = new StoreDirectory();
    using store = directory.open({ streamsMax: 2 });
    const on = (stream: string, seq: number, at = now) =>
      store.inbox.commitCommand(stamp(seq, { stream, id: `id-${stream}-${seq}`, at }), ok).kind;
    on("stream-a", 1);
    on("stream-b", 1);
    assert.throws(() => on("stream-c", 1), { code: "inbox_full" });
    assert.equal(on("stream-b", 2, epochMs(now + DAY)), "done");
    assert.equal(on("stream-c", 1, epochMs(now + DAY + 1)), "done");
    assert.equal(
      store.inbox.commitCommand(stamp(2, { stream: "stream-b", id: "again-1234" }), never).kind,
      "replayed",
    );
  });

  test("an answer that names somebody loses what it said when that person is erased", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    store.inbox.commitCommand(stamp(1), (tx) => ({
      ok: true,
      data: tx.putIdentity(person("ann"), now),
    }));
    store.inbox.commitCommand(stamp(2), (tx) => ({
      ok: true,
      data: tx.putIdentity(person("bob"), now),
    }));
    store.transact((tx) => tx.eraseIdentity(idOf("ann"), now));
    const ann = store.inbox.answered(stamp(1).kid, "command-1");
    assert.ok(ann?.ok === false && ann.error.code === "answer_erased");
    assert.equal(store.inbox.answered(stamp(1).kid, "command-2")?.ok, true);
  });

  test("an answer too large to keep is delivered once and remembered as delivered", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const large: Answer = { ok: true, data: "x".repeat(100_000) };
    assert.deepEqual(
      store.inbox.commitCommand(stamp(1), () => large),
      { kind: "done", answer: large },
    );
    const again = store.inbox.commitCommand(stamp(1), never);
    assert.ok(
      again.kind === "repeated" &&
        again.answer.ok === false &&
        again.answer.error.code === "answer_not_kept",
    );
  });
});
