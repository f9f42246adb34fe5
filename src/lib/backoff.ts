/** Exponential backoff with full jitter on the upper half, as data. */

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait before try number `attempt` (0 is the first retry).
 *
 * @param random uniform in [0, 1), passed in so that the result is reproducible
 * @returns milliseconds in [half, whole] of `min(maxMs, firstMs * 2^attempt)`
 */
export function backoffMs(attempt: number, random: number, options: BackoffOptions): number {
  const exponent = Math.min(Math.max(0, attempt), 30);
  const ceiling = Math.min(options.maxMs, options.firstMs * 2 ** exponent);
  return ceiling / 2 + (ceiling / 2) * random;
}
