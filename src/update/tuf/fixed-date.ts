/** A `Date` that stands still. */
import type { EpochMs } from "../../lib/brand.ts";

/**
 * Makes `now` the time of this process, for whoever asks `Date`. `tuf-js` does, and has no other way to
 * be told: on a clock that was set back, expired metadata would be good again.
 */
export function fixDate(now: EpochMs): void {
  const Machine = globalThis.Date;
  class FixedDate extends Machine {
    constructor(...args: readonly [] | ConstructorParameters<DateConstructor>) {
      super(...((args.length === 0 ? [now] : args) as ConstructorParameters<DateConstructor>));
    }

    static override now(): number {
      return now;
    }
  }
  globalThis.Date = FixedDate as DateConstructor;
}
