/** How often the approximate index agreed with exact search, lately. */

/** Counts are halved here, so that the estimate follows the present. */
const WINDOW = 1024;
/** Fewer samples say nothing. */
const ENOUGH = 200;

export class RecallEstimate {
  #sampled = 0;
  #agreed = 0;

  note(agrees: boolean): void {
    if (this.#sampled >= WINDOW) {
      this.#sampled /= 2;
      this.#agreed /= 2;
    }
    this.#sampled += 1;
    if (agrees) this.#agreed += 1;
  }

  /** Share of samples whose top 1 was the exact one; undefined before the first sample. */
  get share(): number | undefined {
    return this.#sampled === 0 ? undefined : this.#agreed / this.#sampled;
  }

  get sampled(): number {
    return Math.round(this.#sampled);
  }

  isBelow(least: number): boolean {
    return this.#sampled >= ENOUGH && !(this.#agreed / this.#sampled >= least);
  }
}
