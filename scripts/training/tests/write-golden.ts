/**
 * Writes the reports that the daemon's code gives for drawn scores; both test suites compare with them.
 *
 *   scripts/node scripts/training/tests/write-golden.ts > scripts/training/tests/golden/verification.json
 */
import { calibrationOf, ScoreHistogram } from "../../../src/match/score-table.ts";
import { type ScoredPair, verificationReport } from "../../../src/match/verification.ts";

/** Linear congruential generator (Numerical Recipes): the same draws wherever this runs. */
function* draws(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

const random = draws(7);
const next = (): number => random.next().value;
/** Sum of draws, roughly normal, to four digits so that ties occur. */
const score = (mean: number, spread: number): number =>
  Number((mean + spread * (next() + next() + next() + next() - 2)).toFixed(3));

const pairs: ScoredPair[] = Array.from({ length: 600 }, (_, index) => {
  const same = Math.floor(index / 30) % 2 === 0;
  const value = same ? score(0.5, 0.3) : score(0.1, 0.25);
  return { fold: Math.floor(index / 60), same, score: next() < 0.02 ? undefined : value };
});
const [impostor, genuine] = [new ScoreHistogram(), new ScoreHistogram()];
const scores = Array.from({ length: 4000 }, () => Number(score(0.05, 0.3).toFixed(5)));
const mated = Array.from({ length: 200 }, () => Number(score(0.55, 0.3).toFixed(5)));
for (const value of scores) impostor.add(value);
for (const value of mated) genuine.add(value);

process.stdout.write(
  `${JSON.stringify({
    verification: {
      folds: pairs.map(({ fold }) => fold),
      same: pairs.map(({ same }) => same),
      scores: pairs.map(({ score }) => score ?? null),
      report: verificationReport(pairs, [0.1, 0.01, 0.001]),
    },
    calibration: {
      impostor: scores,
      genuine: mated,
      table: calibrationOf("drawn", impostor, genuine),
    },
  })}\n`,
);
