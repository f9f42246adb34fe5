/** Which frames a candidate pack sees too: a few with faces, fewer without, none while the machine is busy. */
import type { CameraId } from "../lib/brand.ts";
import type { SampleRate } from "../observation/messages.ts";

/** A frame without an embedded face says little: it comes this much less often. */
const IDLE_FACTOR = 10;

export class FrameSampler {
  readonly #rate: SampleRate;
  readonly #lastMs = new Map<CameraId, number>();
  #shed = 0;

  constructor(rate: SampleRate) {
    this.#rate = rate;
  }

  /** Frames that were due and not taken because they had waited too long. */
  get shedCount(): number {
    return this.#shed;
  }

  /**
   * @param ageMs of the frame when its turn came
   * @param isEmbedded whether a face of it was embedded
   */
  takes(cameraId: CameraId, nowMs: number, ageMs: number, isEmbedded: boolean): boolean {
    const { everyMs, frameAgeMaxMs } = this.#rate;
    const sinceMs = nowMs - (this.#lastMs.get(cameraId) ?? Number.NEGATIVE_INFINITY);
    if (sinceMs < everyMs * (isEmbedded ? 1 : IDLE_FACTOR)) return false;
    this.#lastMs.set(cameraId, nowMs);
    if (ageMs <= frameAgeMaxMs) return true;
    this.#shed += 1;
    return false;
  }
}
