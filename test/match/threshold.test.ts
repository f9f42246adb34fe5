import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Calibration } from "../../src/embedding/calibration.ts";
import { MatchOptions } from "../../src/match/options.ts";
import { fmrFor, thresholdFor, thresholdOf } from "../../src/match/threshold.ts";

const calibration: Calibration = {
  set: "made up",
  pairs: 3_000_000,
  points: [
    { cosine: 0.2, fmr: 1e-2 },
    { cosine: 0.3, fmr: 1e-3 },
    { cosine: 0.4, fmr: 1e-4 },
    { cosine: 0.5, fmr: 1e-5 },
  ],
};
const at = (
  gallerySize: number,
  more: { fpirTarget?: number; cosineMin?: number; extrapolateDecades?: number } = {},
) => thresholdFor({ calibration, fpirTarget: 0.001, extrapolateDecades: 1, gallerySize, ...more });

test("the false match rate is the one that gives the target over the whole gallery", () => {
  for (const [fpir, size] of [
    [0.003, 100],
    [0.001, 10_000],
    [0.5, 3],
  ] as const) {
    assert.ok(Math.abs(1 - (1 - fmrFor(fpir, size)) ** size - fpir) < fpir * 1e-6);
  }
  assert.ok(Math.abs(fmrFor(0.001, 1e7) - 1.0005e-10) < 1e-13, "keeps its digits when tiny");
});

test("between two points it follows the line in log FMR", () => {
  const found = at(1, { fpirTarget: 10 ** -3.5 });
  assert.equal(found.kind, "threshold");
  if (found.kind === "threshold") {
    assert.ok(Math.abs(found.cosine - 0.35) < 1e-9);
    assert.equal(found.source, "table");
  }
});

test("below the smallest measured rate it follows the last line one decade and says so, then refuses", () => {
  const near = at(1000, { fpirTarget: 0.002 });
  assert.equal(near.kind === "threshold" && near.source, "extrapolated");
  assert.ok(near.kind === "threshold" && near.cosine > 0.5 && near.cosine < 0.6);
  assert.deepEqual(at(10_000), { kind: "none", reason: "beyond_calibration" });
  assert.equal(at(10_000, { extrapolateDecades: 3 }).kind, "threshold");
  assert.deepEqual(at(1000, { fpirTarget: 0.002, extrapolateDecades: 0 }), {
    kind: "none",
    reason: "beyond_calibration",
  });
});

test("a line that leads past cosine 1 refuses", () => {
  const steep: Calibration = {
    ...calibration,
    points: [
      { cosine: 0.2, fmr: 1e-2 },
      { cosine: 0.9, fmr: 1e-3 },
    ],
  };
  assert.deepEqual(
    thresholdFor({ calibration: steep, fpirTarget: 1e-4, gallerySize: 1, extrapolateDecades: 3 }),
    {
      kind: "none",
      reason: "beyond_calibration",
    },
  );
});

test("without calibration only the site's floor can speak", () => {
  const query = {
    calibration: undefined,
    fpirTarget: 0.001,
    gallerySize: 5,
    extrapolateDecades: 1,
  };
  assert.deepEqual(thresholdFor(query), { kind: "none", reason: "not_calibrated" });
  assert.deepEqual(thresholdFor({ ...query, cosineMin: 0.6 }), {
    kind: "threshold",
    cosine: 0.6,
    source: "floor",
  });
  assert.equal(
    thresholdOf(undefined, { templateCount: 5 }, MatchOptions.parse({ cosineMin: 0.7 })).kind,
    "threshold",
  );
});

test("a table that does not fall, and a target that is no rate, refuse", () => {
  const flat: Calibration = {
    ...calibration,
    points: [
      { cosine: 0.2, fmr: 1e-2 },
      { cosine: 0.3, fmr: 1e-2 },
    ],
  };
  assert.deepEqual(
    thresholdFor({ calibration: flat, fpirTarget: 0.001, gallerySize: 1, extrapolateDecades: 1 }),
    {
      kind: "none",
      reason: "calibration_not_monotone",
    },
  );
  assert.deepEqual(at(Number.NaN), { kind: "none", reason: "invalid_target" });
  assert.deepEqual(at(1, { fpirTarget: Number.NaN }), { kind: "none", reason: "invalid_target" });
});

test("a bigger gallery or a stricter target never lowers the bar, and the floor always holds", () => {
  const size = fc.integer({ min: 0, max: 2_000_000 });
  const fpir = fc.double({ min: 1e-7, max: 0.5, noNaN: true });
  const floor = fc.double({ min: -1, max: 1, noNaN: true });
  const bar = (found: ReturnType<typeof at>): number =>
    found.kind === "none" ? Number.POSITIVE_INFINITY : found.cosine;
  fc.assert(
    fc.property(size, size, fpir, fpir, floor, (a, b, p, q, cosineMin) => {
      const loose = bar(at(Math.min(a, b), { fpirTarget: Math.max(p, q), cosineMin }));
      const strict = bar(at(Math.max(a, b), { fpirTarget: Math.min(p, q), cosineMin }));
      assert.ok(strict >= loose && loose >= cosineMin);
    }),
  );
});
