/** Counts what a pack does while it serves: for the verdict on its probation, and for what came before it. */
import type { Decision } from "../decision/decision.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type { ObserveMessage } from "../observation/messages.ts";
import { noted, percentile95 } from "../release/percentile.ts";
import type { ProbationSample } from "../release/ports.ts";
import type { VisionProcess } from "../vision/process.ts";
import type { Serving } from "./serving.ts";

export interface ProbationDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly vision: VisionProcess;
  readonly serving: Serving;
}

interface Counts {
  grants: number;
  denials: number;
}

/** Frames whose delay is looked at. */
const DELAYS_MAX = 50;

export class ProbationWatch {
  readonly #deps: ProbationDeps;
  #sinceMs: number;
  #restarts: number;
  #frames = 0;
  #failed = 0;
  /** Of all frames, and of those with an embedded face: few people pass, and a detector sees every frame. */
  #everyMs: readonly number[] = [];
  #facesMs: readonly number[] = [];
  #delaysMs: readonly number[] = [];
  #counts: Counts = { grants: 0, denials: 0 };
  #before: Counts = { grants: 0, denials: 0 };
  #sentinel: ProbationSample["sentinel"];

  constructor(deps: ProbationDeps) {
    this.#deps = deps;
    this.#sinceMs = deps.clock.monotonicMs();
    this.#restarts = deps.vision.status().restarts;
  }

  /** Another pack serves from now on. */
  switched(): void {
    this.#sinceMs = this.#deps.clock.monotonicMs();
    this.#restarts = this.#deps.vision.status().restarts;
    this.#frames = 0;
    this.#failed = 0;
    this.#everyMs = [];
    this.#facesMs = [];
    this.#delaysMs = [];
    this.#before = this.#counts;
    this.#counts = { grants: 0, denials: 0 };
    this.#sentinel = undefined;
  }

  observed({ spaceId, failures, timings, observations, capturedAt }: ObserveMessage): void {
    if (spaceId !== this.#deps.serving.gallery.spaceId) return;
    this.#frames += 1;
    if (failures !== undefined) this.#failed += 1;
    this.#everyMs = noted(this.#everyMs, timings.totalMs);
    if (observations.some(({ embedding }) => embedding !== undefined))
      this.#facesMs = noted(this.#facesMs, timings.totalMs);
    const delayMs = this.#deps.clock.monotonicMs() - capturedAt.monotonicMs;
    this.#delaysMs = [...this.#delaysMs.slice(1 - DELAYS_MAX), delayMs];
  }

  decided({ outcome }: Decision): void {
    if (outcome === "grant") this.#counts.grants += 1;
    else this.#counts.denials += 1;
  }

  /** From capture to main, the newest frames' middle; 0 without frames. */
  get delayMs(): number {
    return this.#delaysMs.toSorted((a, b) => a - b)[this.#delaysMs.length >> 1] ?? 0;
  }

  sample(): ProbationSample {
    const { clock, vision } = this.#deps;
    return {
      elapsedMs: clock.monotonicMs() - this.#sinceMs,
      visionExits: vision.status().restarts - this.#restarts,
      frames: this.#frames,
      failedFrames: this.#failed,
      p95Ms: Math.max(percentile95(this.#everyMs), percentile95(this.#facesMs)),
      ...this.#counts,
      before: { ...this.#before },
      sentinel: this.#sentinel,
    };
  }

  /** Runs the golden vectors again in the serving process, every `everyMs`, until `signal` aborts. */
  async run(everyMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(everyMs, signal);
      if (!signal.aborted) await this.runOnce(signal);
    }
  }

  async runOnce(signal: AbortSignal): Promise<void> {
    const { vision, serving, log } = this.#deps;
    const { pack } = serving;
    try {
      const { goldenCosine } = await vision.selfTest(1, { signal });
      const provider = vision.status().loaded?.provider;
      // It says nothing about the pack that serves by now.
      if (serving.pack !== pack || provider === undefined) return;
      const cosineMin = pack.pack.golden.cosineMin[provider];
      // No finite vector is as unlike as can be.
      this.#sentinel = { cosine: goldenCosine ?? -1, cosineMin };
    } catch (thrown) {
      // Vision is away, which is counted by itself.
      if (!signal.aborted) log.debug({ code: codeOf(thrown) }, "the golden vectors did not run");
    }
  }
}
