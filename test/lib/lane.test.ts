import assert from "node:assert/strict";
import { test } from "node:test";
import { Lane } from "../../src/lib/lane.ts";

/** A lane whose runs end when told. */
function gated(waitingMax: number) {
  const ran: string[][] = [];
  const gates: PromiseWithResolvers<number>[] = [];
  const lane = new Lane<readonly string[], number>({
    waitingMax,
    run: (item) => {
      ran.push([...item]);
      const gate = Promise.withResolvers<number>();
      gates.push(gate);
      return gate.promise;
    },
    fold: (oldest, next) => [...oldest.map((word) => `(${word})`), ...next],
  });
  return { lane, ran, gates };
}

test("runs one item after another, in order", async () => {
  const { lane, ran, gates } = gated(3);
  const first = lane.put(["a"]);
  const second = lane.put(["b"]);
  assert.deepEqual(ran, [["a"]]);
  gates[0]?.resolve(1);
  assert.equal(await first, 1);
  assert.deepEqual(ran, [["a"], ["b"]]);
  gates[1]?.resolve(2);
  assert.equal(await second, 2);
  const third = lane.put(["c"]);
  assert.deepEqual(ran.at(-1), ["c"]);
  gates[2]?.resolve(3);
  assert.equal(await third, 3);
});

test("folds the oldest waiting item into the next when full, and counts it", async () => {
  const { lane, ran, gates } = gated(2);
  void lane.put(["a"]);
  const dropped = [lane.put(["b"]), lane.put(["c"])];
  void lane.put(["d"]);
  void lane.put(["e"]);
  assert.deepEqual(await Promise.all(dropped), [undefined, undefined]);
  assert.equal(lane.droppedCount, 2);
  gates[0]?.resolve(0);
  await new Promise(setImmediate);
  assert.deepEqual(ran, [["a"], ["((b))", "(c)", "d"]]);
});

test("a failing item fails alone", async () => {
  const { lane, gates } = gated(2);
  const first = lane.put(["a"]);
  const second = lane.put(["b"]);
  gates[0]?.reject(new Error("search failed"));
  await assert.rejects(first, /search failed/);
  gates[1]?.resolve(7);
  assert.equal(await second, 7);
});
