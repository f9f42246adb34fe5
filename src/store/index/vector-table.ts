/**
 * The vectors of one space, row by row in memory that worker threads share. The one copy that decides:
 * indexes propose slots, the cosine is taken here.
 */

import { type Cosine, cosine } from "../../lib/brand.ts";
import { Fault } from "../../lib/fault.ts";
import { isUnit } from "../../lib/vector.ts";
import { CodeTable, DIMENSION_MAX } from "./code-table.ts";
import { reserve, type SharedMemory, sharedMemory } from "./shared-memory.ts";

/** What a thread needs to join. Survives postMessage. */
export interface TableHandle {
  readonly memory: SharedMemory;
  readonly codes: SharedMemory;
  readonly dimension: number;
}

export interface Scored {
  readonly slot: number;
  readonly cosine: number;
}

export class VectorTable {
  readonly dimension: number;
  readonly #memory: SharedMemory;
  readonly #codes: CodeTable;
  #floats: Float32Array;

  private constructor(dimension: number, memory: SharedMemory, codes: CodeTable) {
    this.dimension = dimension;
    this.#memory = memory;
    this.#codes = codes;
    this.#floats = new Float32Array(memory.buffer);
  }

  static create(dimension: number): VectorTable {
    if (!(dimension >= 1 && dimension <= DIMENSION_MAX)) {
      throw new Fault(
        "invalid_dimension",
        `an index of ${dimension} dimensions: 1 to ${DIMENSION_MAX} are possible`,
      );
    }
    return new VectorTable(dimension, sharedMemory(1), new CodeTable(dimension));
  }

  /** The same table in another thread. */
  static join({ dimension, memory, codes }: TableHandle): VectorTable {
    return new VectorTable(dimension, memory, new CodeTable(dimension, codes));
  }

  get handle(): TableHandle {
    return { memory: this.#memory, codes: this.#codes.memory, dimension: this.dimension };
  }

  /** Bytes taken. */
  get bytes(): number {
    return this.#memory.buffer.byteLength + this.#codes.memory.buffer.byteLength;
  }

  /** Only the owning thread writes. @throws Fault `gallery_full`, `invalid_template` */
  set(slot: number, vector: Float32Array): void {
    if (!isUnit(vector, this.dimension))
      throw new Fault(
        "invalid_template",
        `slot ${slot}: not a finite unit vector of ${this.dimension} values`,
      );
    reserve(this.#memory, this.#at(slot + 1) * 4);
    this.#refresh(slot + 1);
    this.#codes.set(slot, vector);
    this.#floats.set(vector, this.#at(slot));
  }

  /** Forgets the vector at once, whoever still holds its slot: it scores 0 from now on. */
  wipe(slot: number): void {
    this.#refresh(slot + 1);
    this.#floats.fill(0, this.#at(slot), this.#at(slot + 1));
    this.#codes.wipe(slot);
  }

  /** A copy. */
  get(slot: number): Float32Array {
    this.#refresh(slot + 1);
    return this.#floats.slice(this.#at(slot), this.#at(slot) + this.dimension);
  }

  /** Exact, summed in double precision. */
  cosineWith(slot: number, vector: Float32Array): Cosine {
    this.#refresh(slot + 1);
    const at = this.#at(slot);
    let sum = 0;
    for (let index = 0; index < this.dimension; index += 1)
      sum += (vector[index] as number) * (this.#floats[at + index] as number);
    return cosine(sum);
  }

  /**
   * The `k` best of slots 0 … `slots` − 1 for which `holds`, best first: exactly those, by `cosineWith`.
   *
   * @param scanner which scratch page; one per thread
   */
  nearest(
    vector: Float32Array,
    k: number,
    slots: number,
    scanner: number,
    holds: (slot: number) => boolean,
  ): Scored[] {
    return this.#codes
      .likely(vector, k, slots, scanner, holds)
      .map((slot) => ({ slot, cosine: this.cosineWith(slot, vector) }))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, k);
  }

  #at(slot: number): number {
    return slot * this.dimension;
  }

  /** Another thread may have made the table longer since this one looked. */
  #refresh(slots: number): void {
    if (this.#at(slots) > this.#floats.length) this.#floats = new Float32Array(this.#memory.buffer);
  }
}
