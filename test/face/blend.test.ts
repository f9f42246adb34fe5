import assert from "node:assert/strict";
import { test } from "node:test";
import { blendLandmarks } from "../../src/face/blend.ts";
import type { Face } from "../../src/face/face.ts";

const face = (x: number, score: number, at: number): Face => {
  const point = { x: at, y: 2 * at };
  return {
    box: { x, y: 0, width: 10, height: 10 },
    landmarks: [point, point, point, point, point],
    score,
  };
};

test("cells of one face are averaged, the best counting most; box and score stay", () => {
  const best = face(0, 1, 10);
  const [blended] = blendLandmarks([best], [best, face(1, 1, 20), face(1, 0.5, 1000)]);
  const weak = 1 / 256;
  const expected = (10 + 20 + 1000 * weak) / (2 + weak);
  for (const { x, y } of blended?.landmarks ?? []) {
    assert.ok(Math.abs(x - expected) < 1e-9);
    assert.ok(Math.abs(y - 2 * expected) < 1e-9);
  }
  assert.deepEqual([blended?.box, blended?.score], [best.box, best.score]);
});

test("a cell speaks of the face that it covers best, and of none that it hardly covers", () => {
  const [left, right] = [face(0, 0.9, 1), face(6, 0.9, 2)];
  const cells = [left, right, face(5, 0.9, 4), face(12, 0.9, 1000)];
  const blended = blendLandmarks([left, right], cells);
  assert.deepEqual(
    blended.map(({ landmarks: [{ x }] }) => Math.round(x * 1e6) / 1e6),
    [1, 3],
  );
});

test("a face without cells, or of score 0, keeps its landmarks", () => {
  const alone = face(0, 0, 7);
  assert.deepEqual(blendLandmarks([alone], []), [alone]);
  assert.deepEqual(blendLandmarks([alone], [alone]), [alone]);
  assert.deepEqual(blendLandmarks([], [alone]), []);
});
