/** Measured scores of different people → the false match rate by threshold that a pack carries. */
import type { Calibration } from "../embedding/calibration.ts";

/** Bins of 1e-4 over cosines in [-1, 1]: millions of scores in a fixed 160 kB. */
const BIN = 1e-4;
const BINS = 20_001;

/** Targets of the table, per decade. The smallest kept one is what the pairs support. */
const STEPS = [1, 0.5, 0.2] as const;

/** Below this many occurrences an error rate is a guess (rule of 30: ±30 % at 90 % confidence). */
export const RULE_OF = 30;

export class ScoreHistogram {
  readonly #counts = new Float64Array(BINS);
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(cosine: number): void {
    const bin = Math.round((Math.min(1, Math.max(-1, cosine)) + 1) / BIN);
    this.#counts[bin] = (this.#counts[bin] as number) + 1;
    this.#total += 1;
  }

  /** Share of scores in bins at or above the one of `cosine`. */
  shareFrom(cosine: number): number {
    const from = Math.round((cosine + 1) / BIN);
    let count = 0;
    for (let bin = from; bin < BINS; bin += 1) count += this.#counts[bin] as number;
    return this.#total === 0 ? 0 : count / this.#total;
  }

  /** The lowest bin at and above which at most `share` of the scores lie, with their exact share. */
  thresholdFor(share: number): { readonly cosine: number; readonly share: number } {
    const allowed = share * this.#total;
    let count = 0;
    let bin = BINS;
    while (bin > 0 && count + (this.#counts[bin - 1] as number) <= allowed) {
      bin -= 1;
      count += this.#counts[bin] as number;
    }
    // One bin beyond the end would be a cosine above 1, which no comparison reaches.
    return {
      cosine: rounded(Math.min(bin, BINS - 1) * BIN - 1),
      share: this.#total === 0 ? 0 : count / this.#total,
    };
  }
}

const rounded = (cosine: number): number => Number(cosine.toFixed(4));

/**
 * The table for a pack. Points stop at the smallest FMR that the number of pairs supports, so that no
 * threshold is derived from a handful of coincidences.
 *
 * @param genuine scores of the same person, for FNMR; left out when empty
 * @returns undefined when there are too few pairs for two points (about 60)
 */
export function calibrationOf(
  set: string,
  impostor: ScoreHistogram,
  genuine: ScoreHistogram,
): Calibration | undefined {
  const floor = RULE_OF / impostor.total;
  const points: { cosine: number; fmr: number; fnmr?: number }[] = [];
  const targets = [...targetRates(floor), floor];
  for (const target of targets) {
    const { cosine, share } = impostor.thresholdFor(target);
    const last = points.at(-1);
    if (share <= 0 || (last !== undefined && (cosine <= last.cosine || share >= last.fmr)))
      continue;
    const fnmr = genuine.total === 0 ? {} : { fnmr: 1 - genuine.shareFrom(cosine) };
    points.push({ cosine, fmr: share, ...fnmr });
  }
  return points.length < 2 ? undefined : { set, pairs: impostor.total, points };
}

function targetRates(floor: number): readonly number[] {
  const rates: number[] = [];
  for (let decade = 0.5; decade > floor && rates.length < 60; decade /= 10) {
    for (const step of STEPS) if (decade * step > floor) rates.push(decade * step);
  }
  return rates;
}
