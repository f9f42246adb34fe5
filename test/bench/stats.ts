/** Timing of repeated calls: medians, not single shots. */

export interface Timing {
  readonly name: string;
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

export function timingOf(name: string, elapsedMs: readonly number[]): Timing {
  return { name, runs: elapsedMs.length, p50Ms: percentile(elapsedMs, 0.5), p95Ms: percentile(elapsedMs, 0.95) };
}

/** Runs `call` once per round for each contender in turn, so that a slow minute hits all alike. */
export async function race(
  contenders: Readonly<Record<string, () => unknown>>,
  rounds: number,
  warmUp = 5,
): Promise<readonly Timing[]> {
  const elapsed = new Map<string, number[]>(Object.keys(contenders).map((name) => [name, []]));
  for (let round = -warmUp; round < rounds; round += 1) {
    for (const [name, call] of Object.entries(contenders)) {
      const start = performance.now();
      await call();
      if (round >= 0) elapsed.get(name)?.push(performance.now() - start);
    }
  }
  return [...elapsed].map(([name, values]) => timingOf(name, values));
}

/** Resident set of this process, MB. */
export const rssMb = (): number => process.memoryUsage().rss / 1e6;

/** Least-squares slope. @returns units of y per unit of x */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const n = points.length;
  const mx = points.reduce((sum, [x]) => sum + x, 0) / n;
  const my = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const top = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  const bottom = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  return top / bottom;
}
