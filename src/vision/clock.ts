/** The vision process's clock: it has no other service of `system/`, whose neighbour it is. */
import { epochMs, monotonicMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";

export function createVisionClock(): Clock {
  return {
    epochMs: () => epochMs(Date.now()),
    // CLOCK_MONOTONIC, which main's clock reads too: values compare between processes of one boot.
    monotonicMs: () => monotonicMs(Number(process.hrtime.bigint()) / 1e6),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal?.addEventListener("abort", done, { once: true });
      }),
    every: (ms, run) => {
      const timer = setInterval(run, ms);
      return () => clearInterval(timer);
    },
  };
}
