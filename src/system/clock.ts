/** The real clock. Only this folder (and vision, for its hot path) touches Date and timers. */
import { type EpochMs, epochMs, type MonotonicMs, monotonicMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";

const TIMER_MAX_MS = 2 ** 31 - 1;

/** libuv's hrtime is CLOCK_MONOTONIC on Linux, so values compare between processes of one boot. */
function monotonic(): MonotonicMs {
  const [seconds, nanoseconds] = process.hrtime();
  return monotonicMs(seconds * 1000 + nanoseconds / 1e6);
}

export function createClock(): Clock {
  return {
    epochMs: (): EpochMs => epochMs(Date.now()),
    monotonicMs: monotonic,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, Math.min(Math.max(0, ms), TIMER_MAX_MS));
        signal?.addEventListener("abort", done, { once: true });
      }),
    every: (ms, run) => {
      const timer = setInterval(run, Math.min(Math.max(1, ms), TIMER_MAX_MS));
      return () => clearInterval(timer);
    },
  };
}

/** RFC 3339 in UTC with milliseconds, as every message and answer shows time. */
export function rfc3339(at: EpochMs): string {
  return new Date(at).toISOString();
}

/** CLOCK_MONOTONIC in whole microseconds: what systemd wants beside `RELOADING=1`. */
export function monotonicMicros(): bigint {
  return process.hrtime.bigint() / 1000n;
}
