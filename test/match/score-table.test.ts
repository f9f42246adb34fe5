import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Calibration } from "../../src/embedding/calibration.ts";
import { calibrationOf, ScoreHistogram } from "../../src/match/score-table.ts";

function histogram(scores: readonly number[]): ScoreHistogram {
  const result = new ScoreHistogram();
  for (const score of scores) result.add(score);
  return result;
}

describe("score table", () => {
  it("finds the lowest threshold within a share", () => {
    const scores = histogram([0.1, 0.2, 0.3, 0.4]);
    assert.deepEqual(scores.thresholdFor(0.5), { cosine: 0.2001, share: 0.5 });
    assert.deepEqual(scores.thresholdFor(0.1), { cosine: 0.4001, share: 0 });
    assert.equal(scores.shareFrom(0.3), 0.5);
  });

  it("stops at the smallest rate that 30 coincidences support", () => {
    const scores = histogram(Array.from({ length: 3000 }, (_, i) => i / 3000));
    const table = calibrationOf("a ramp", scores, histogram([0.9, 1]));
    assert.ok(table !== undefined);
    const last = table.points.at(-1);
    assert.ok(
      last !== undefined && last.fmr <= 0.01 && last.fmr > 0.009,
      `smallest FMR ${last?.fmr}`,
    );
    assert.equal(last.fnmr, 0.5);
    Calibration.parse(table);
  });

  it("rises in cosine and falls in rate, whatever the scores", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 60, maxLength: 400 }),
        (scores) => {
          const table = calibrationOf("any", histogram(scores), histogram([]));
          for (const [i, point] of (table?.points ?? []).entries()) {
            const before = table?.points[i - 1];
            assert.ok(
              before === undefined || (point.cosine > before.cosine && point.fmr < before.fmr),
            );
            // The histogram rounds to 1e-4: one bin of slack on either side.
            const above =
              scores.filter((score) => score >= point.cosine + 1e-4).length / scores.length;
            assert.ok(above <= point.fmr + 1e-12);
          }
        },
      ),
    );
  });

  it("says nothing about too few pairs", () => {
    assert.equal(calibrationOf("few", histogram([0.1, 0.2]), histogram([])), undefined);
  });
});
