/** How a camera is, as others see it: status, counts, last error, and who wants to know. */
import type { CameraId, EpochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { DecoderErrorCode } from "./decoder-error.ts";
import type { RestartReason } from "./watch.ts";

export type CameraStatus = "starting" | "online" | "degraded" | "frozen" | "offline";
export type CameraErrorCode = DecoderErrorCode | RestartReason | "connect_timeout" | "internal";

export interface CameraState {
  readonly id: CameraId;
  readonly status: CameraStatus;
  /** Since when it has this status. */
  readonly since: EpochMs;
  readonly fps: number;
  /** Age of the newest frame, ms; absent before the first one. */
  readonly frameAgeMs?: number;
  /** Decoders started after the first. */
  readonly reconnects: number;
  readonly stalls: number;
  readonly frozen: number;
  readonly drifts: number;
  readonly overshoots: number;
  /** Why the last decoder ended; absent once frames flow again. */
  readonly lastError?: CameraErrorCode;
}

type Standing = Omit<CameraState, "id" | "fps" | "frameAgeMs">;
type Counter = "stalls" | "frozen" | "drifts" | "overshoots";

const COUNTERS: Readonly<Partial<Record<CameraErrorCode, Counter>>> = {
  stalled: "stalls",
  frozen: "frozen",
  drifted: "drifts",
  overshot: "overshoots",
};

/** Everything of a camera's state that outlives a decoder. */
export class CameraStanding {
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  #status: CameraStatus = "starting";
  #since: EpochMs;
  #decoders = 0;
  #counts = { stalls: 0, frozen: 0, drifts: 0, overshoots: 0 };
  #lastError: CameraErrorCode | undefined;

  constructor(deps: { readonly clock: Clock; readonly log: Log }) {
    this.#deps = deps;
    this.#since = deps.clock.epochMs();
  }

  get value(): Standing {
    return {
      status: this.#status,
      since: this.#since,
      reconnects: Math.max(0, this.#decoders - 1),
      ...this.#counts,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  /** A decoder is being started. @returns its number, from 1 */
  decoderStarts(): number {
    this.#decoders += 1;
    return this.#decoders;
  }

  /** A decoder has ended, or was ended, because of `code`. @returns true when that changed anything */
  decoderEnded(code: CameraErrorCode | undefined): boolean {
    if (code !== undefined) {
      this.#lastError = code;
      const counter = COUNTERS[code];
      if (counter !== undefined) this.#counts[counter] += 1;
    }
    return this.#become("offline") || code !== undefined;
  }

  /** @returns true when that is news */
  framesFlow(status: CameraStatus): boolean {
    const recovered = this.#lastError !== undefined;
    this.#lastError = undefined;
    return this.#become(status) || recovered;
  }

  #become(status: CameraStatus): boolean {
    if (status === this.#status) return false;
    const code = this.#lastError === undefined ? {} : { code: this.#lastError };
    this.#deps.log.info({ from: this.#status, to: status, ...code }, "camera status");
    this.#status = status;
    this.#since = this.#deps.clock.epochMs();
    return true;
  }
}
