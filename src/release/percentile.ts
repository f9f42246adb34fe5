/** Percentiles of a bounded number of newest values. */

/** Newest values kept; older ones no longer say how it is. */
export const VALUES_MAX = 1000;

/** Appends, and forgets the oldest beyond {@link VALUES_MAX}. */
export function noted(values: readonly number[], value: number): readonly number[] {
  return [...values.slice(Math.max(0, values.length - VALUES_MAX + 1)), value];
}

/** Nearest rank. @returns 0 for no values */
export function percentile95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? 0;
}
