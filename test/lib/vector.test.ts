import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cosineOf, isUnit, normalised } from "../../src/lib/vector.ts";

const coordinate = fc.float({ min: -100, max: 100, noNaN: true });
const vector = fc
  .array(coordinate, { minLength: 4, maxLength: 64 })
  .map((values) => Float32Array.from(values));

test("a normalised vector is a unit vector of the same direction", () => {
  fc.assert(
    fc.property(vector, (raw) => {
      const unit = normalised(raw);
      if (unit === undefined) return assert.ok(raw.every((value) => Math.abs(value) < 1e-18));
      assert.ok(isUnit(unit, raw.length));
      const largest = raw.reduce(
        (best, value, index) => (Math.abs(value) > Math.abs(raw[best] ?? 0) ? index : best),
        0,
      );
      assert.equal(Math.sign(unit[largest] ?? 0), Math.sign(raw[largest] ?? 0));
    }),
  );
});

test("zero, NaN and infinity have no direction", () => {
  for (const raw of [
    [0, 0, 0],
    [Number.NaN, 1, 0],
    [Number.POSITIVE_INFINITY, 1, 0],
  ]) {
    assert.equal(normalised(Float32Array.from(raw)), undefined);
  }
});

test("the wrong size, the wrong length and NaN are no unit vectors", () => {
  assert.equal(isUnit(Float32Array.of(1, 0, 0), 3), true);
  assert.equal(isUnit(Float32Array.of(1, 0, 0), 4), false);
  assert.equal(isUnit(Float32Array.of(1, 0.1, 0), 3), false);
  assert.equal(isUnit(Float32Array.of(Number.NaN, 0, 0), 3), false);
});

test("the cosine is 1 with itself, -1 with its opposite, 0 at a right angle", () => {
  assert.equal(cosineOf(Float32Array.of(0, 1), Float32Array.of(0, 1)), 1);
  assert.equal(cosineOf(Float32Array.of(0, 1), Float32Array.of(0, -1)), -1);
  assert.equal(cosineOf(Float32Array.of(0, 1), Float32Array.of(1, 0)), 0);
});
