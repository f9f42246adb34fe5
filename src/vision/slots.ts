/**
 * Frames between the reader and the model thread: shared memory with two slots per camera. The reader
 * writes the next frame over the oldest one that nobody reads; the model thread takes the newest. So a
 * slow model drops frames and never ages them, and nothing is copied.
 */

const SLOTS = 2;
const FREE = 0;
const WRITING = 1;
const READY = 2;
const READING = 3;

/** Int32 words per slot: state, width, height, sequence. */
const WORDS = 4;
/** Float64 words per slot: captured monotonic ms, captured epoch ms. */
const TIMES = 2;
const HEADER_BYTES = SLOTS * (WORDS * 4 + TIMES * 8);

export interface SlotFrame {
  readonly pixels: Uint8Array;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly sequence: number;
  readonly capturedMonotonicMs: number;
  readonly capturedEpochMs: number;
}

export interface Stamp {
  readonly sequence: number;
  readonly capturedMonotonicMs: number;
  readonly capturedEpochMs: number;
}

/** Both threads make one over the same memory. One writer, one reader. */
export class FrameSlots {
  readonly memory: SharedArrayBuffer;
  readonly slotBytes: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  #writing: number | undefined;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.slotBytes = (memory.byteLength - HEADER_BYTES) / SLOTS;
    this.#times = new Float64Array(memory, 0, SLOTS * TIMES);
    this.#words = new Int32Array(memory, SLOTS * TIMES * 8, SLOTS * WORDS);
  }

  static create(slotBytes: number): FrameSlots {
    return new FrameSlots(new SharedArrayBuffer(HEADER_BYTES + SLOTS * slotBytes));
  }

  /**
   * Room for the next frame. A frame that was begun and not finished is forgotten.
   *
   * @returns the room, and whether a waiting frame had to make way; undefined when the frame does not fit
   */
  begin(byteLength: number): { readonly room: Uint8Array; readonly dropped: boolean } | undefined {
    if (this.#writing !== undefined) Atomics.store(this.#words, this.#writing * WORDS, FREE);
    this.#writing = undefined;
    if (byteLength > this.slotBytes) return undefined;
    for (const { from, slot } of this.#candidates()) {
      if (Atomics.compareExchange(this.#words, slot * WORDS, from, WRITING) !== from) continue;
      this.#writing = slot;
      return { room: this.#pixels(slot, byteLength), dropped: from === READY };
    }
    return undefined;
  }

  /** Free slots first, then the oldest frame that waits. */
  #candidates(): readonly { readonly from: number; readonly slot: number }[] {
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    const inState = (state: number) =>
      slots.filter((slot) => Atomics.load(this.#words, slot * WORDS) === state);
    const waiting = inState(READY).toSorted((a, b) => this.#sequence(a) - this.#sequence(b));
    return [
      ...inState(FREE).map((slot) => ({ from: FREE, slot })),
      ...waiting.map((slot) => ({ from: READY, slot })),
    ];
  }

  /** Hands the frame that {@link begin} gave room for to the other thread. */
  finish(widthPx: number, heightPx: number, stamp: Stamp): void {
    const slot = this.#writing;
    if (slot === undefined) return;
    this.#writing = undefined;
    this.#words[slot * WORDS + 1] = widthPx;
    this.#words[slot * WORDS + 2] = heightPx;
    this.#words[slot * WORDS + 3] = stamp.sequence;
    this.#times[slot * TIMES] = stamp.capturedMonotonicMs;
    this.#times[slot * TIMES + 1] = stamp.capturedEpochMs;
    Atomics.store(this.#words, slot * WORDS, READY);
  }

  /**
   * Gives the newest frame to `use` and frees its slot afterwards. An older one that waits is dropped, so
   * that time never runs backwards.
   *
   * @param use gets the frame and how many older ones were dropped for it
   * @returns undefined when none waits
   */
  async take<T>(use: (frame: SlotFrame, dropped: number) => Promise<T>): Promise<T | undefined> {
    const slot = this.#claimNewest();
    if (slot === undefined) return undefined;
    try {
      return await use(this.#frame(slot), this.#dropOlder(slot));
    } finally {
      Atomics.store(this.#words, slot * WORDS, FREE);
    }
  }

  get hasFrame(): boolean {
    for (let slot = 0; slot < SLOTS; slot += 1)
      if (Atomics.load(this.#words, slot * WORDS) === READY) return true;
    return false;
  }

  #claimNewest(): number | undefined {
    const ready = Array.from({ length: SLOTS }, (_, slot) => slot)
      .filter((slot) => Atomics.load(this.#words, slot * WORDS) === READY)
      .toSorted((a, b) => this.#sequence(b) - this.#sequence(a));
    return ready.find(
      (slot) => Atomics.compareExchange(this.#words, slot * WORDS, READY, READING) === READY,
    );
  }

  #dropOlder(than: number): number {
    let dropped = 0;
    for (let slot = 0; slot < SLOTS; slot += 1) {
      if (
        slot === than ||
        Atomics.compareExchange(this.#words, slot * WORDS, READY, READING) !== READY
      )
        continue;
      const isOlder = this.#sequence(slot) < this.#sequence(than);
      if (isOlder) dropped += 1;
      Atomics.store(this.#words, slot * WORDS, isOlder ? FREE : READY);
    }
    return dropped;
  }

  #sequence(slot: number): number {
    return this.#words[slot * WORDS + 3] as number;
  }

  #frame(slot: number): SlotFrame {
    const word = (index: number): number => this.#words[slot * WORDS + index] as number;
    const [widthPx, heightPx] = [word(1), word(2)];
    return {
      pixels: this.#pixels(slot, (widthPx * heightPx * 3) / 2),
      widthPx,
      heightPx,
      sequence: word(3),
      capturedMonotonicMs: this.#times[slot * TIMES] as number,
      capturedEpochMs: this.#times[slot * TIMES + 1] as number,
    };
  }

  #pixels(slot: number, byteLength: number): Uint8Array {
    return new Uint8Array(this.memory, HEADER_BYTES + slot * this.slotBytes, byteLength);
  }
}
