/** What the reader knows of one camera's stream: counts, drift, freezing. Time is passed in. */
import type { CapturedAt } from "../frame/frame.ts";
import type { CameraId, MonotonicMs } from "../lib/brand.ts";
import type { CameraHealthMessage } from "../observation/messages.ts";

/** Written by the model thread, read by the reader: one camera's counters in shared memory. */
export const COUNTER = { processed: 0, dropped: 1, ageMs: 2 } as const;
export const COUNTERS = 3;

const FPS_WINDOW_MS = 2000;
/** Bytes looked at per frame to tell whether the picture changed. */
const SAMPLES = 4096;

export class CameraWatch {
  readonly #cameraId: CameraId;
  readonly #counters: Float64Array;
  #received = 0;
  #dropped = 0;
  #lastFrameAt: CapturedAt | undefined;
  #driftBaseMs: number | undefined;
  #driftMs = 0;
  #hash = 0;
  #changedAtMs: MonotonicMs | undefined;
  #arrivals: number[] = [];

  constructor(cameraId: CameraId, counters: Float64Array) {
    this.#cameraId = cameraId;
    this.#counters = counters;
  }

  /** @returns the frame's sequence number */
  received(ptsMs: number, pixels: Uint8Array, at: CapturedAt): number {
    const nowMs = at.monotonicMs;
    this.#received += 1;
    this.#lastFrameAt = at;
    const offset = nowMs - ptsMs;
    this.#driftBaseMs = Math.min(this.#driftBaseMs ?? offset, offset);
    this.#driftMs = offset - this.#driftBaseMs;
    const hash = sampledHash(pixels);
    if (hash !== this.#hash || this.#changedAtMs === undefined) this.#changedAtMs = nowMs;
    this.#hash = hash;
    this.#arrivals.push(nowMs);
    // The newest one before the window stays: what came at once after a gap came over the whole gap.
    while (nowMs - (this.#arrivals[1] ?? nowMs) > FPS_WINDOW_MS) this.#arrivals.shift();
    return this.#received - 1;
  }

  /** A frame was never looked at. */
  dropped(): void {
    this.#dropped += 1;
  }

  /** A frame for which there was no room: received, and dropped. */
  skipped(): void {
    this.#received += 1;
    this.#dropped += 1;
  }

  health(resyncs: number, nowMs: MonotonicMs): CameraHealthMessage {
    const age = this.#counters[COUNTER.ageMs] as number;
    const processed = this.#counters[COUNTER.processed] as number;
    return {
      kind: "camera-health",
      cameraId: this.#cameraId,
      framesReceived: this.#received,
      framesDropped: this.#dropped + (this.#counters[COUNTER.dropped] as number),
      framesProcessed: processed,
      resyncs,
      ...(this.#lastFrameAt === undefined ? {} : { lastFrameAt: this.#lastFrameAt }),
      ...(processed === 0 ? {} : { ageMs: age }),
      driftMs: this.#driftMs,
      frozenMs:
        this.#lastFrameAt === undefined || this.#changedAtMs === undefined
          ? 0
          : this.#lastFrameAt.monotonicMs - this.#changedAtMs,
      fps: this.#fps(nowMs),
    };
  }

  /** Over the frames of the window and the time that they took to come. */
  #fps(nowMs: MonotonicMs): number {
    const from = this.#arrivals.findIndex((at) => nowMs - at <= FPS_WINDOW_MS);
    if (from < 0) return 0;
    const recent = this.#arrivals.slice(Math.max(0, from - 1));
    const spanMs = (recent.at(-1) ?? 0) - (recent[0] ?? 0);
    return spanMs > 0 ? ((recent.length - 1) * 1000) / spanMs : 0;
  }
}

/** FNV-1a over evenly spaced bytes: sensor noise alone changes it. An odd stride visits all columns in time. */
function sampledHash(pixels: Uint8Array): number {
  const stride = Math.max(1, Math.floor(pixels.length / SAMPLES) | 1);
  let hash = 0x811c9dc5;
  for (let at = 0; at < pixels.length; at += stride)
    hash = Math.imul(hash ^ (pixels[at] as number), 0x01000193);
  return hash >>> 0;
}
