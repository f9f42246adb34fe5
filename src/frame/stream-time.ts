/**
 * How late a frame is, told from presentation times: arrival alone calls a frame new that waited seconds
 * in a buffer, and a door must not open for somebody who has gone.
 */

/** A camera's crystal may be this much off ours: such a drift is no latency. */
export const CLOCK_SKEW = 100e-6;

export class StreamTime {
  /** Arrival less presentation time of the promptest frame, creeping up with `creep`. */
  #originMs: number | undefined;
  #atMs: number | undefined;
  readonly #creep: number;

  /**
   * @param originMs what an earlier reader of the same stream knew ({@link StreamTime.originMs})
   * @param creep how fast the origin follows a lasting delay, ms per ms
   */
  constructor(originMs?: number, creep = CLOCK_SKEW) {
    this.#originMs = originMs;
    this.#creep = creep;
  }

  /** Comparable between processes of one boot, as arrival is by CLOCK_MONOTONIC. Undefined before the first frame. */
  get originMs(): number | undefined {
    return this.#originMs;
  }

  /**
   * Call once per frame, in order.
   *
   * @param ptsMs presentation time of the frame
   * @param nowMs when it arrived, monotonic
   * @returns how much later it came than the promptest frame so far, ms, ≥ 0: it was captured at `nowMs - lateness`
   */
  lateness(ptsMs: number, nowMs: number): number {
    const offset = nowMs - ptsMs;
    const crept = (this.#originMs ?? offset) + (nowMs - (this.#atMs ?? nowMs)) * this.#creep;
    this.#originMs = Math.min(offset, crept);
    this.#atMs = nowMs;
    return offset - this.#originMs;
  }
}
