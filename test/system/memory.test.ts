import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { heapCollector, spareMemory } from "../../src/system/memory.ts";
import { SimulatedClock } from "../support/clock.ts";

function rig() {
  const clock = new SimulatedClock();
  const people = { present: false };
  const collected: number[] = [];
  const collect = async (): Promise<void> => void collected.push(clock.monotonicMs() / 1000);
  const stop = new AbortController();
  const ended = spareMemory({ clock, collect }, () => !people.present, stop.signal);
  return { clock, people, collected, stop, ended };
}

test("every two minutes, and no more once it is to stop", async () => {
  const { clock, collected, stop, ended } = rig();
  await clock.advance(250_000);
  assert.deepEqual(collected, [120, 240]);
  stop.abort();
  await ended;
  await clock.advance(250_000);
  assert.equal(collected.length, 2);
});

test("waits until nobody is in view, but not for ever", async () => {
  const { clock, people, collected } = rig();
  people.present = true;
  await clock.advance(150_000);
  assert.deepEqual(collected, []);
  people.present = false;
  await clock.advance(1000);
  assert.deepEqual(collected, [151]);
  people.present = true;
  await clock.advance(719_000);
  assert.deepEqual(collected, [151]);
  await clock.advance(1000);
  assert.deepEqual(collected, [151, 871]);
});

test("a collection gives pages back", async () => {
  const collect = heapCollector();
  let much: object[] = Array.from({ length: 300_000 }, (_, index) => ({ text: `number ${index}` }));
  // One of nine stays: its neighbours leave holes.
  much = much.filter((_, index) => index % 9 === 0);
  const before = getHeapStatistics().total_heap_size;
  await collect();
  assert.ok(getHeapStatistics().total_heap_size < 0.7 * before);
  assert.equal(much.length, 33_334);
  assert.equal("gc" in globalThis, false);
});
