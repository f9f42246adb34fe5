/** Time as a dependency. `system/clock.ts` is the real one, `test/support/clock.ts` the simulated one. */
import type { EpochMs, MonotonicMs } from "./brand.ts";

export interface Clock {
  readonly epochMs: () => EpochMs;
  readonly monotonicMs: () => MonotonicMs;
  /** Resolves after `ms`, or at once when `signal` aborts: never rejects, so callers re-check the signal. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Calls `run` every `ms` until the returned function is called. `run` must not throw. */
  readonly every: (ms: number, run: () => void) => () => void;
}
