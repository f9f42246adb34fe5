/** The figures of the soak: what counts as growth. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mediansOf, slopeOf } from "./stats.ts";

/** Garbage that is collected every seven points, on a floor that rises by `perStep`. */
const sawtooth = (points: number, perStep: number) =>
  Array.from({ length: points }, (_, x) => [x, 100 + x * perStep + 5 * (x % 7)] as const);

test("medians: the middle one of every whole window", () => {
  const points = [3, 1, 2, 9, 8, 7, 0].map((y, x) => [x, y] as const);
  assert.deepEqual(mediansOf(points, 3), [
    [1.5, 2],
    [4.5, 8],
  ]);
  assert.deepEqual(mediansOf([], 3), []);
});

test("medians of a sawtooth do not rise, those of a leak do", () => {
  assert.equal(slopeOf(mediansOf(sawtooth(141, 0), 14)).slope, 0);
  const { slope, error } = slopeOf(mediansOf(sawtooth(141, 0.5), 14));
  assert.ok(Math.abs(slope - 0.5) < 1e-9 && error < 1e-9, `${slope} ± ${error}`);
});

test("two points show no error", () => {
  assert.equal(
    slopeOf([
      [0, 0],
      [1, 1],
    ]).error,
    Number.POSITIVE_INFINITY,
  );
});
