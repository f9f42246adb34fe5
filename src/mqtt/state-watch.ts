/** Hears the retained `state` and has it said again when it is not ours: a late will, somebody else's word. */
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";

/** Two who contradict each other do so once a second. */
const GAP_MS = 1000;

export class StateWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #correct: () => void;
  #expected: string | undefined;
  #isPlanned = false;
  #correctedAtMs = Number.NEGATIVE_INFINITY;
  #corrections = 0;

  constructor(deps: { readonly clock: Clock; readonly log: Log }, correct: () => void) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#correct = correct;
  }

  get corrections(): number {
    return this.#corrections;
  }

  /** @param text what we said on this connection; undefined when there is none */
  expect(text: string | undefined): void {
    this.#expected = text;
  }

  heard(text: string): void {
    const expected = this.#expected;
    if (expected === undefined || text === expected || this.#isPlanned) return;
    this.#isPlanned = true;
    const waitMs = Math.max(0, this.#correctedAtMs + GAP_MS - this.#clock.monotonicMs());
    void this.#clock.sleep(waitMs).then(() => {
      this.#isPlanned = false;
      this.#correctedAtMs = this.#clock.monotonicMs();
      if (this.#expected !== expected) return;
      this.#corrections += 1;
      this.#log.info({}, "the retained state was not ours: corrected");
      this.#correct();
    });
  }
}
