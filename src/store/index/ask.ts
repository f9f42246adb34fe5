/** Searches in index threads that may be dead, or too busy to answer in time. */
import type { EmbeddingIndex } from "../../gallery/index-port.ts";
import type { Clock } from "../../lib/clock.ts";
import { codeOf } from "../../lib/fault.ts";
import type { Log } from "../../lib/log.ts";

const SEARCH_TIMEOUT_MS = 250;

interface Waiting {
  readonly untilMs: number;
  readonly giveUp: () => void;
}

export class Asker {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  /** Oldest first. */
  readonly #waiting = new Set<Waiting>();
  #isWatching = false;

  /** @param signal ends every wait */
  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }, signal: AbortSignal) {
    this.#clock = clock;
    this.#log = log;
    this.#signal = signal;
  }

  /** @returns the slots it proposes; undefined when the index is not there, failed, or was silent too long */
  async ask(
    index: Pick<EmbeddingIndex, "kind" | "search"> | undefined,
    vector: Float32Array,
    k: number,
  ): Promise<readonly number[] | undefined> {
    if (index === undefined) return undefined;
    // The thread wakes up while the rest is made ready.
    const answer = index.search(vector, k);
    const silence = Promise.withResolvers<undefined>();
    const waiting: Waiting = {
      untilMs: this.#clock.monotonicMs() + SEARCH_TIMEOUT_MS,
      giveUp: () => silence.resolve(undefined),
    };
    this.#waiting.add(waiting);
    if (!this.#isWatching) void this.#watch();
    try {
      const found = await Promise.race([answer, silence.promise]);
      return found?.map(({ slot }) => slot);
    } catch (cause) {
      this.#log.warn(
        { index: index.kind, code: codeOf(cause) },
        "index search failed: answered on the calling thread",
      );
      return undefined;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** One timer for all that wait: to set and clear one for each takes longer than the rest of a question. */
  async #watch(): Promise<void> {
    this.#isWatching = true;
    for (const oldest of this.#waiting) {
      await this.#clock.sleep(oldest.untilMs - this.#clock.monotonicMs(), this.#signal);
      if (this.#waiting.has(oldest)) oldest.giveUp();
    }
    this.#isWatching = false;
  }
}
