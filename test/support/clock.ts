/** A clock that moves only when told. */
import { type EpochMs, epochMs, type MonotonicMs, monotonicMs } from "../../src/lib/brand.ts";
import type { Clock } from "../../src/lib/clock.ts";

interface Timer {
  at: number;
  readonly run: () => void;
  readonly periodMs: number | undefined;
}

export class SimulatedClock implements Clock {
  #elapsedMs = 0;
  readonly #startEpochMs: number;
  readonly #timers = new Set<Timer>();

  constructor(startEpochMs = Date.UTC(2026, 0, 5, 9, 0, 0)) {
    this.#startEpochMs = startEpochMs;
  }

  readonly epochMs = (): EpochMs => epochMs(this.#startEpochMs + this.#elapsedMs);
  readonly monotonicMs = (): MonotonicMs => monotonicMs(this.#elapsedMs);

  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const timer: Timer = { at: this.#elapsedMs + ms, run: resolve, periodMs: undefined };
      this.#timers.add(timer);
      signal?.addEventListener("abort", () => {
        this.#timers.delete(timer);
        resolve();
      });
    });

  readonly every = (ms: number, run: () => void): (() => void) => {
    const timer: Timer = { at: this.#elapsedMs + ms, run, periodMs: ms };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Moves time, firing what is due in order, and lets promises settle between. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsedMs + ms;
    for (;;) {
      const due = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, due.at);
      if (due.periodMs === undefined) this.#timers.delete(due);
      else due.at += due.periodMs;
      due.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#elapsedMs = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
