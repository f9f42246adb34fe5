import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bandOf, evidenceInputOf, weightOf } from "../../src/decision/weight.ts";
import type { Cosine } from "../../src/lib/brand.ts";
import { ANNA, GOOD, looked, matched, observation, UNKNOWN, unit } from "../support/decision.ts";

const quality = fc.record({
  eyeDistancePx: fc.double({ min: 0, max: 300 }),
  sharpness: fc.double({ min: 0, max: 2000 }),
});

test("good frames with a clear margin weigh fully, others less, none less than an eighth", () => {
  assert.equal(weightOf(GOOD, matched(ANNA, 0.7, 0.5)), 1);
  assert.equal(weightOf(GOOD, UNKNOWN), 1);
  assert.ok(Math.abs(weightOf(GOOD, matched(ANNA, 0.57, 0.5)) - 0.7) < 1e-9);
  assert.equal(weightOf({ ...GOOD, eyeDistancePx: 36 }, UNKNOWN), 0.75);
  assert.equal(
    weightOf({ ...GOOD, eyeDistancePx: 0, sharpness: Number.NaN }, matched(ANNA, 0.5, 0.5)),
    0.125,
  );
});

test("a better frame never weighs less, and a miss never less than a hit", () => {
  fc.assert(
    fc.property(
      quality,
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.double({ min: 0.5, max: 1, noNaN: true }),
      ({ eyeDistancePx, sharpness }, more, cosine) => {
        const worse = { ...GOOD, eyeDistancePx, sharpness };
        const better = {
          ...worse,
          eyeDistancePx: eyeDistancePx + more,
          sharpness: sharpness + more,
        };
        const match = matched(ANNA, cosine);
        for (const one of [match, UNKNOWN]) {
          const weight = weightOf(worse, one);
          assert.ok(weight >= 0.125 && weight <= 1);
          if (!Number.isNaN(eyeDistancePx + sharpness)) assert.ok(weightOf(better, one) >= weight);
        }
        assert.ok(weightOf(worse, UNKNOWN) >= weightOf(worse, match));
      },
    ),
  );
});

test("bands around the threshold", () => {
  const band = (best: number | undefined, threshold: number | undefined) =>
    bandOf(best as Cosine | undefined, threshold as Cosine | undefined);
  assert.deepEqual(
    [
      band(undefined, 0.5),
      band(0.9, undefined),
      band(0.5, 0.5),
      band(0.49, 0.5),
      band(0.41, 0.5),
      band(0.39, 0.5),
      band(Number.NaN, 0.5),
    ],
    ["none", "low", "high", "near", "near", "low", "low"],
  );
});

test("an observation becomes the kind of evidence that it is", () => {
  const at = looked(40, []);
  assert.deepEqual(evidenceInputOf(at, observation({ reasons: ["dark"] }), undefined), {
    kind: "unusable",
    at: 40,
    reasons: ["dark"],
  });
  assert.deepEqual(evidenceInputOf(at, observation({}), undefined), { kind: "seen", at: 40 });
  const match = matched(ANNA);
  assert.deepEqual(evidenceInputOf(at, observation({ embedding: unit(0) }), match), {
    kind: "frame",
    at: 40,
    spaceId: "space-1",
    match,
    weight: 1,
  });
});
