/** The decisions of this evening, on the screen and at hand for the acts. */

import { epochMs } from "../../src/lib/brand.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { rfc3339 } from "../../src/system/clock.ts";
import type { Decisions } from "./acts.ts";
import type { FeedListener, HeardDecision } from "./feed.ts";
import type { View } from "./view.ts";

/** The event follows its decision at once; it may be a moment behind on a busy machine. */
const EVENT_WAIT_MS = 1500;
const LOOK_MS = 20;

export class Heard implements Decisions, FeedListener {
  readonly #clock: Clock;
  readonly #view: View;
  readonly #heard: HeardDecision[] = [];
  readonly #latencies = new Map<string, number>();

  constructor(clock: Clock, view: View) {
    this.#clock = clock;
    this.#view = view;
  }

  readonly onDecision = (decision: HeardDecision): void => {
    this.#heard.push(decision);
    void this.#show(decision);
  };

  readonly onLatency = (decisionId: string, latencyMs: number): void => {
    this.#latencies.set(decisionId, latencyMs);
  };

  readonly since = (fromMs: number): readonly HeardDecision[] =>
    this.#heard.filter(({ arrivedMs }) => arrivedMs >= fromMs);

  readonly latencyOf = async (id: string): Promise<number | undefined> => {
    const until = this.#clock.monotonicMs() + EVENT_WAIT_MS;
    while (!this.#latencies.has(id) && this.#clock.monotonicMs() < until)
      await this.#clock.sleep(LOOK_MS);
    return this.#latencies.get(id);
  };

  async #show(decision: HeardDecision): Promise<void> {
    const latencyMs = await this.latencyOf(decision.id);
    this.#view.decision({
      time: rfc3339(epochMs(decision.issuedAtMs)).slice(11, 23),
      door: decision.door,
      outcome: decision.outcome,
      reason: decision.reason,
      identity: decision.identity ?? "",
      score: decision.scoreBand,
      latencyMs,
    });
  }
}
