import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { linked } from "../../src/lib/signals.ts";

describe("linked", () => {
  test("aborts with the first of its sources", () => {
    for (const first of [0, 1]) {
      const sources = [new AbortController(), new AbortController()];
      using either = linked(...sources.map(({ signal }) => signal));
      assert.equal(either.signal.aborted, false);
      sources[first]?.abort();
      assert.equal(either.signal.aborted, true);
    }
  });

  test("is aborted from the start where a source is", () => {
    using either = linked(new AbortController().signal, AbortSignal.abort());
    assert.equal(either.signal.aborted, true);
  });

  test("hangs on nothing once it is disposed", () => {
    const source = new AbortController();
    let listeners = 0;
    const { signal } = source;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener];
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove.apply(signal, args);
    };
    const either = linked(signal);
    assert.equal(listeners, 1);
    either[Symbol.dispose]();
    assert.equal(listeners, 0);
    source.abort();
    assert.equal(either.signal.aborted, false);
  });
});
