import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backoffMs } from "../../src/lib/backoff.ts";

const options = { firstMs: 100, maxMs: 5000 };

test("doubles until the cap, half of it by chance", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 10].map((attempt) => backoffMs(attempt, 0, options)),
    [50, 100, 200, 400, 2500],
  );
  assert.equal(backoffMs(1, 0.5, options), 150);
});

test("stays within half and whole of the ceiling for any attempt", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -5, max: 1e6 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, random) => {
        const wait = backoffMs(attempt, random, options);
        assert.ok(wait >= options.firstMs / 2 && wait < options.maxMs);
      },
    ),
  );
});
