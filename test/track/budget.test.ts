import assert from "node:assert/strict";
import { test } from "node:test";
import type { CameraId } from "../../src/lib/brand.ts";
import { EmbeddingBudget } from "../../src/track/budget.ts";

const camera = (name: string) => name as CameraId;

/** How many of the cameras' wishes were granted from 1 s to 11 s, asking every 10 ms. */
function granted(
  perSecond: number,
  wishes: Readonly<Record<string, number>>,
): Record<string, number> {
  const budget = new EmbeddingBudget(perSecond);
  const counts: Record<string, number> = {};
  for (let ms = 0; ms < 11_000; ms += 10) {
    for (const [name, each] of Object.entries(wishes)) {
      for (let i = 0; i < each; i += 1)
        if (budget.take(camera(name), ms) && ms >= 1000) counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  return counts;
}

test("one camera alone gets the whole rate", () => {
  const { a = 0 } = granted(30, { a: 1 });
  assert.ok(a >= 295 && a <= 305, `${a}`);
});

test("a greedy camera does not take a modest one's share", () => {
  const { greedy = 0, modest = 0 } = granted(30, { greedy: 10, modest: 1 });
  assert.ok(Math.abs(greedy - 150) <= 5 && Math.abs(modest - 150) <= 5, `${greedy} ${modest}`);
});

test("a camera that no longer asks gives its share back", () => {
  const budget = new EmbeddingBudget(10);
  budget.take(camera("gone"), 0);
  let count = 0;
  for (let ms = 2000; ms < 12_000; ms += 10) if (budget.take(camera("stays"), ms)) count += 1;
  assert.ok(count >= 99 && count <= 111, `${count}`);
});

test("after silence at most one second's worth comes at once", () => {
  const budget = new EmbeddingBudget(10);
  budget.take(camera("a"), 0);
  let count = 0;
  for (let i = 0; i < 100; i += 1) if (budget.take(camera("a"), 60_000)) count += 1;
  assert.ok(count <= 10, `${count}`);
});
