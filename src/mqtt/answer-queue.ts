/** Answers on their way out. Their sender waits a minute at most; a repeated id gets the stored one. */
import type { Clock } from "../lib/clock.ts";
import type { Answer } from "../lib/envelope.ts";
import type { ReplyTarget } from "./command.ts";

const LIFE_MS = 60_000;

export interface OutgoingAnswer {
  readonly target: ReplyTarget;
  readonly text: string;
  /** Monotonic. */
  readonly untilMs: number;
}

export class AnswerQueue {
  readonly #capacity: number;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #waiting: OutgoingAnswer[] = [];
  #dropped = 0;

  /** @param capacity when full, the oldest is dropped and counted */
  constructor(capacity: number, maxBytes: number, clock: Clock) {
    this.#capacity = capacity;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  get dropped(): number {
    return this.#dropped;
  }

  put(target: ReplyTarget, answer: Answer): void {
    const full = JSON.stringify({ schema: 1, ...answer });
    const text =
      Buffer.byteLength(full) <= this.#maxBytes
        ? full
        : JSON.stringify({ schema: 1, ...tooLarge(this.#maxBytes) });
    this.#waiting.push({ target, text, untilMs: this.#clock.monotonicMs() + LIFE_MS });
    if (this.#waiting.length > this.#capacity) {
      this.#waiting.shift();
      this.#dropped += 1;
    }
  }

  putBack(answer: OutgoingAnswer): void {
    this.#waiting.unshift(answer);
  }

  take(): OutgoingAnswer | undefined {
    const now = this.#clock.monotonicMs();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (next.untilMs > now) return next;
      this.#dropped += 1;
    }
    return undefined;
  }
}

function tooLarge(maxBytes: number): Answer {
  return {
    ok: false,
    error: {
      code: "answer_too_large",
      message: `the answer is larger than ${maxBytes} bytes: ask for less`,
    },
  };
}
