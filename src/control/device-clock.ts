/** Whether this device's wall clock is to be believed, kept beside its store. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { epochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { ClockTrustKeeper } from "../system/clock-trust.ts";

/** 2026-11-01: no honest clock is earlier. */
export const RELEASED_AT = epochMs(1_793_491_200_000);
const TOLERANCE_MS = 60_000;

export function openDeviceClock(
  { paths, clock: { requireSynchronized } }: Config,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<ClockTrustKeeper> {
  return ClockTrustKeeper.open(
    {
      path: join(paths.state, "latest-time"),
      builtAt: RELEASED_AT,
      requireSynchronized,
      toleranceMs: TOLERANCE_MS,
    },
    deps,
  );
}
