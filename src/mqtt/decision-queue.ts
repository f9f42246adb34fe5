/**
 * Decisions on their way to the broker. An expired one is never handed out: not after a wait, not after a
 * reconnect, not after a step of the wall clock (the monotonic deadline holds as well).
 */
import type { Decision } from "../decision/decision.ts";
import type { Clock } from "../lib/clock.ts";

/** MQTT counts expiry in whole seconds: less than one left cannot be said to the broker. */
const LEFT_MIN_MS = 1000;

export interface PendingDecision {
  readonly decision: Decision;
  readonly deadlineMonotonicMs: number;
  readonly onAcked: () => void;
}

export class DecisionQueue {
  readonly #capacity: number;
  readonly #clock: Clock;
  readonly #pending: PendingDecision[] = [];
  #expired = 0;
  #overflowed = 0;

  /** @param capacity when full, the oldest makes room: the newest person stands at the door */
  constructor(capacity: number, clock: Clock) {
    this.#capacity = capacity;
    this.#clock = clock;
  }

  get expired(): number {
    return this.#expired;
  }

  get overflowed(): number {
    return this.#overflowed;
  }

  get size(): number {
    return this.#pending.length;
  }

  put(decision: Decision, onAcked: () => void): void {
    const leftMs = decision.expiresAt - this.#clock.epochMs();
    this.#pending.push({
      decision,
      onAcked,
      deadlineMonotonicMs: this.#clock.monotonicMs() + leftMs,
    });
    if (this.#pending.length > this.#capacity) {
      this.#pending.shift();
      this.#overflowed += 1;
    }
  }

  /** The connection ended before it was acknowledged: it goes first on the next one, if it still may. */
  putBack(pending: PendingDecision): void {
    this.#pending.unshift(pending);
  }

  /** The next decision that may still be sent, with its remaining whole seconds (≥ 1). */
  take(): { readonly pending: PendingDecision; readonly leftSeconds: number } | undefined {
    for (
      let pending = this.#pending.shift();
      pending !== undefined;
      pending = this.#pending.shift()
    ) {
      const leftMs = this.leftMs(pending);
      if (leftMs >= LEFT_MIN_MS) return { pending, leftSeconds: Math.floor(leftMs / 1000) };
      this.#expired += 1;
    }
    return undefined;
  }

  /** By the stricter of both clocks. */
  leftMs(pending: PendingDecision): number {
    const byWall = pending.decision.expiresAt - this.#clock.epochMs();
    const byMonotonic = pending.deadlineMonotonicMs - this.#clock.monotonicMs();
    return Math.min(byWall, byMonotonic);
  }
}
