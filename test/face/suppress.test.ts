import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Face } from "../../src/face/face.ts";
import { suppress } from "../../src/face/suppress.ts";
import { overlap } from "../../src/frame/geometry.ts";

const at = { x: 0, y: 0 };
const face = (x: number, score: number, width = 10): Face => ({
  box: { x, y: 0, width, height: 10 },
  landmarks: [at, at, at, at, at],
  score,
});

test("the better of two that overlap stays, a third beside them too", () => {
  const kept = suppress([face(0, 0.8), face(1, 0.9), face(30, 0.7)], 0.3, 10);
  assert.deepEqual(
    kept.map(({ score }) => score),
    [0.9, 0.7],
  );
});

test("boxes are compared in whole pixels, as OpenCV does", () => {
  // 0.9 px apart: cut to the same whole box, so IoU is 1 although the exact one is below 0.9.
  assert.equal(suppress([face(0, 0.9), face(0.9, 0.8)], 0.95, 10).length, 1);
});

test("at most the number asked for, and overlapping exactly the limit is allowed", () => {
  assert.equal(suppress([face(0, 0.9), face(100, 0.8), face(200, 0.7)], 0.3, 2).length, 2);
  // Widths 10, shift 5: IoU 50/150.
  assert.equal(suppress([face(0, 0.9), face(5, 0.8)], 50 / 150, 10).length, 2);
});

test("no two kept faces overlap more than allowed, and none better was lost", () => {
  const faces = fc.array(
    fc.record({
      x: fc.integer({ min: 0, max: 60 }),
      score: fc.double({ min: 0.5, max: 1, noNaN: true }),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(faces, (list) => {
      const all = list.map(({ x, score }) => face(x, score));
      const kept = suppress(all, 0.3, 100);
      for (const a of kept)
        for (const b of kept) assert.ok(a === b || overlap(a.box, b.box) <= 0.3);
      for (const gone of all.filter((one) => !kept.includes(one))) {
        assert.ok(kept.some((one) => one.score >= gone.score && overlap(one.box, gone.box) > 0.3));
      }
    }),
  );
});
