/** Timing of repeated calls: medians, not single shots. */

export interface Timing {
  readonly runs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** @param share in [0, 1]; nearest rank */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

export function timingOf(elapsedMs: readonly number[]): Timing {
  return {
    runs: elapsedMs.length,
    p50Ms: percentile(elapsedMs, 0.5),
    p95Ms: percentile(elapsedMs, 0.95),
  };
}

/**
 * Runs each contender once per round, in turn, so that a slow minute hits all alike.
 *
 * @returns milliseconds of every round by contender
 */
export async function samplesOf<K extends string>(
  contenders: Readonly<Record<K, () => unknown>>,
  rounds: number,
  warmUp = 5,
): Promise<Readonly<Record<K, readonly number[]>>> {
  const names = Object.keys(contenders) as K[];
  const elapsed = Object.fromEntries(names.map((name) => [name, [] as number[]]));
  for (let round = -warmUp; round < rounds; round += 1) {
    for (const name of names) {
      const start = performance.now();
      await contenders[name]();
      if (round >= 0) elapsed[name]?.push(performance.now() - start);
    }
  }
  return elapsed as Record<K, number[]>;
}

/** As {@link samplesOf}, summed up. */
export async function race<K extends string>(
  contenders: Readonly<Record<K, () => unknown>>,
  rounds: number,
  warmUp = 5,
): Promise<Readonly<Record<K, Timing>>> {
  const samples = Object.entries(await samplesOf(contenders, rounds, warmUp));
  return Object.fromEntries(
    samples.map(([name, values]) => [name, timingOf(values as readonly number[])]),
  ) as Record<K, Timing>;
}

/** Resident set of this process, MB. */
export const rssMb = (): number => process.memoryUsage().rss / 1e6;

export interface Slope {
  /** Units of y per unit of x. */
  readonly slope: number;
  /** Standard error of the slope, residuals taken as independent. */
  readonly error: number;
}

/**
 * The median of every whole window of x, from the first point on, at the middle of the window: what remains
 * when a sawtooth of garbage and collection is smoothed. Its floors would move with when collections fall.
 */
export function mediansOf(
  points: readonly (readonly [x: number, y: number])[],
  window: number,
): readonly (readonly [x: number, y: number])[] {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return [];
  const medians: (readonly [number, number])[] = [];
  for (let from = first[0]; from + window <= last[0]; from += window) {
    const within = points.filter(([x]) => x >= from && x < from + window);
    if (within.length > 0) medians.push([from + window / 2, median(within.map(([, y]) => y))]);
  }
  return medians;
}

/** Least squares. The error is infinite where two points or fewer leave none to see. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length;
  const mx = points.reduce((sum, [x]) => sum + x, 0) / n;
  const my = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const spread = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - my - slope * (x - mx)) ** 2, 0);
  return {
    slope,
    error: n > 2 ? Math.sqrt(rest / (n - 2) / spread) : Number.POSITIVE_INFINITY,
  };
}
