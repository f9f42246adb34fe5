import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  accuracyAt,
  bestThreshold,
  parsePairs,
  tarAtFar,
  verificationReport,
} from "../../src/match/verification.ts";

const pair = (fold: number, same: boolean, score: number | undefined) => ({ fold, same, score });

describe("verification", () => {
  it("takes the threshold in the middle of the gap that separates best", () => {
    const pairs = [
      pair(0, false, 0.1),
      pair(0, false, 0.3),
      pair(0, true, 0.7),
      pair(0, true, 0.05),
    ] as const;
    const best = bestThreshold(pairs.map(({ same, score }) => ({ same, score: score as number })));
    assert.deepEqual(best, { threshold: 0.5, accuracy: 0.75 });
  });

  it("never does worse than any other threshold", () => {
    const scored = fc.record({ same: fc.boolean(), score: fc.integer({ min: -9, max: 9 }) });
    fc.assert(
      fc.property(
        fc.array(scored, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: -10, max: 10 }),
        (pairs, other) => {
          const best = bestThreshold(pairs);
          assert.equal(best.accuracy, accuracyAt(pairs, best.threshold));
          assert.ok(best.accuracy >= accuracyAt(pairs, other + 0.5));
        },
      ),
    );
  });

  it("classifies each fold by the threshold of the others", () => {
    // Trained on fold 1 (gap 0.4..0.6 → 0.5), fold 0 has one error of two; trained on fold 0 (0.55..0.8 → 0.675), so has fold 1.
    const report = verificationReport(
      [pair(0, false, 0.55), pair(0, true, 0.8), pair(1, false, 0.4), pair(1, true, 0.6)],
      [],
    );
    assert.deepEqual(
      report.folds.map((fold) => [fold.threshold, fold.accuracy]),
      [
        [0.5, 0.5],
        [0.675, 0.5],
      ],
    );
    assert.deepEqual(report.accuracy, { mean: 0.5, std: 0 });
  });

  it("counts a failure to acquire as a denial: an error for the same person, right for another", () => {
    const report = verificationReport(
      [
        pair(0, true, 0.9),
        pair(0, true, undefined),
        pair(0, false, 0.1),
        pair(0, false, undefined),
      ],
      [0.5],
    );
    assert.deepEqual(report.failedPairs, { same: 1, different: 1 });
    assert.equal(report.accuracy.mean, 0.75);
    assert.equal(report.tarAtFar[0]?.tar, 0.5);
  });

  it("accepts at most the false share asked for", () => {
    const different = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
    const atTenth = tarAtFar([0.85, 0.92, 0.99, 0.5], different, 0.1);
    assert.deepEqual(atTenth, {
      far: 0.1,
      tar: 0.5,
      threshold: 0.9,
      falseAccepts: 1,
      supported: false,
    });
    assert.deepEqual(tarAtFar([0.96], different, 0.01).falseAccepts, 0);
  });

  it("reads the LFW list and says what is wrong with another", () => {
    const pairs = parsePairs("2\t1\nAnn_Lee\t1\t4\nAnn_Lee\t1\tBob\t2\nCy\t1\t2\nCy\t3\tDi\t1\n");
    assert.ok(typeof pairs !== "string");
    assert.deepEqual(pairs[1], {
      fold: 0,
      same: false,
      first: { name: "Ann_Lee", number: 1 },
      second: { name: "Bob", number: 2 },
    });
    assert.deepEqual(
      pairs.map((p) => p.fold),
      [0, 0, 1, 1],
    );
    assert.match(String(parsePairs("2 1\nA 1 2\n")), /announces 4 pairs and holds 1/);
    assert.match(String(parsePairs("1 1\nA one two\n")), /line 2/);
    assert.match(String(parsePairs("hello")), /line 1/);
  });
});
