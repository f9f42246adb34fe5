/**
 * Gives what V8's heap does not need back to the kernel. Left alone V8 does that only in a process that is
 * idle, which one with cameras never is: its pages stay, with holes, and the resident set creeps up for hours.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../lib/clock.ts";

/** A collection that also empties caches and moves what lives together; a tenth of a second. */
export type Collect = () => Promise<void>;

const EVERY_MS = 120_000;
/** A moment without people is waited for this long. */
const PATIENCE_MS = 600_000;
const LOOK_MS = 1000;

export function heapCollector(): Collect {
  // The function is made together with a context, and only while the flag is set.
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as (options: object) => Promise<void>;
  setFlagsFromString("--no-expose-gc");
  return () => gc({ type: "major", execution: "async", flavor: "last-resort" });
}

/** Until `stop` aborts. @param isQuiet nobody waits for a decision */
export async function spareMemory(
  { clock, collect }: { readonly clock: Clock; readonly collect: Collect },
  isQuiet: () => boolean,
  stop: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(EVERY_MS, stop);
    const latest = clock.monotonicMs() + PATIENCE_MS;
    while (!stop.aborted && !isQuiet() && clock.monotonicMs() < latest)
      await clock.sleep(LOOK_MS, stop);
    if (stop.aborted) return;
    await collect();
  }
}
