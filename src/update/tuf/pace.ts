/** Gives up a transfer that stands still or trickles: TUF bounds its size, not its time. */
import type { Clock } from "../../lib/clock.ts";
import { Fault } from "../../lib/fault.ts";
import type { RepositoryOptions } from "./options.ts";

export type Pace = Pick<RepositoryOptions, "idleMs" | "bytesPerSecondMin" | "rateWindowMs">;

/** @throws Fault `fetch_timeout` when nothing settles within `idleMs`; what was waited for is left alone */
export async function notIdle<T>(
  waited: Promise<T>,
  name: string,
  { idleMs }: Pick<Pace, "idleMs">,
  clock: Clock,
): Promise<T> {
  const stop = new AbortController();
  const late = clock.sleep(idleMs, stop.signal).then(() => {
    if (stop.signal.aborted) return undefined as never;
    throw new Fault(
      "fetch_timeout",
      `${name}: nothing came for ${idleMs} ms; check the line to the repository`,
      { retry: "later" },
    );
  });
  try {
    return await Promise.race([waited, late]);
  } finally {
    stop.abort();
  }
}

/**
 * The chunks of `body` as long as they come fast enough. Only time spent waiting for the sender counts:
 * a slow disk on our side is not its fault.
 *
 * @throws Fault `fetch_timeout`, `fetch_slow`
 */
export async function* paced(
  body: AsyncIterable<Uint8Array>,
  name: string,
  pace: Pace,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let waitedMs = 0;
  let bytes = 0;
  for (;;) {
    const begun = clock.monotonicMs();
    const next = await notIdle(iterator.next(), name, pace, clock);
    if (next.done === true) return;
    waitedMs += clock.monotonicMs() - begun;
    bytes += next.value.byteLength;
    if (waitedMs >= pace.rateWindowMs) {
      const rate = (bytes * 1000) / waitedMs;
      if (rate < pace.bytesPerSecondMin) {
        throw new Fault(
          "fetch_slow",
          `${name} comes with ${Math.round(rate)} bytes/s, ${pace.bytesPerSecondMin} are wanted; what is there is kept`,
          { retry: "later" },
        );
      }
      waitedMs = 0;
      bytes = 0;
    }
    yield next.value;
  }
}
