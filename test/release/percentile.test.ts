import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { noted, percentile95, VALUES_MAX } from "../../src/release/percentile.ts";

test("the 95th percentile by nearest rank", () => {
  const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
  assert.deepEqual(
    [[], [7], upTo(20), upTo(100)].map((values) => percentile95(values)),
    [0, 7, 19, 95],
  );
});

test("at least 95 of 100 values are not above it, in any order", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true }), { minLength: 1 }), (values) => {
      const found = percentile95(values);
      assert(values.includes(found));
      assert(values.filter((value) => value <= found).length >= values.length * 0.95);
      assert.equal(percentile95(values.toReversed()), found);
    }),
  );
});

test("the oldest values are forgotten", () => {
  let values: readonly number[] = [];
  for (let value = 0; value < VALUES_MAX + 5; value += 1) values = noted(values, value);
  assert.deepEqual([values.length, values[0], values.at(-1)], [VALUES_MAX, 5, VALUES_MAX + 4]);
});
