import assert from "node:assert/strict";
import { test } from "node:test";
import { goldenVerdict } from "../../src/embedding/golden.ts";

const expected = [
  [1, 0],
  [0, 1],
];
const vectors = (...rows: number[][]) => rows.map((row) => Float32Array.from(row));

test("the same vectors pass with their least cosine", () => {
  const verdict = goldenVerdict(expected, vectors([1, 0], [0.6, 0.8]), 0.79);
  assert.ok(verdict.kind === "same" && Math.abs(verdict.cosineLeast - 0.8) < 1e-6);
});

test("one that differs, is missing, has another length or is not a number fails", () => {
  for (const second of [[1, 0], [], [0, 1, 0], [Number.NaN, 1]]) {
    assert.deepEqual(
      [goldenVerdict(expected, vectors([1, 0], second), 0.9)].map((v) => [
        v.kind,
        v.kind === "different" && v.index,
      ]),
      [["different", 1]],
    );
  }
  assert.equal(goldenVerdict(expected, vectors([1, 0]), 0.9).kind, "different");
});
