/**
 * The vectors of one space, row by row in memory that worker threads share. The one copy that decides:
 * indexes propose slots, the cosine is taken here.
 */

import { type Cosine, cosine } from "../../lib/brand.ts";
import { Fault } from "../../lib/fault.ts";
import { isUnit } from "../../lib/vector.ts";
import {
  LANE_FLOATS,
  PAGE_BYTES,
  type Scan,
  type SharedMemory,
  scanOver,
  sharedMemory,
} from "./scan-kernel.ts";

/** What a thread needs to join. Survives postMessage. */
export interface TableHandle {
  readonly memory: SharedMemory;
  readonly dimension: number;
}

export interface Scored {
  readonly slot: number;
  readonly cosine: number;
}

/** Each thread that scans has a page of its own for the query and the scores. */
export const SCANNERS = 4;
const BLOCK_ROWS = 8192;
const SCRATCH_BYTES = PAGE_BYTES;
const QUERY_FLOATS_MAX = SCRATCH_BYTES / 4 - BLOCK_ROWS;
const ROWS_AT = SCANNERS * SCRATCH_BYTES;
/** The address space of 32 bits. Reserved, not used, until vectors come. */
const PAGES_MAX = 65_536;

export class VectorTable {
  readonly dimension: number;
  readonly #memory: SharedMemory;
  readonly #scan: Scan;
  readonly #stride: number;
  #floats: Float32Array;

  private constructor({ memory, dimension }: TableHandle) {
    this.dimension = dimension;
    this.#memory = memory;
    this.#scan = scanOver(memory);
    this.#stride = Math.ceil(dimension / LANE_FLOATS) * LANE_FLOATS;
    this.#floats = new Float32Array(memory.buffer);
  }

  static create(dimension: number): VectorTable {
    if (!(dimension >= 1 && dimension <= QUERY_FLOATS_MAX)) {
      throw new Fault(
        "invalid_dimension",
        `an index of ${dimension} dimensions: 1 to ${QUERY_FLOATS_MAX} are possible`,
      );
    }
    return new VectorTable({ memory: sharedMemory(SCANNERS + 1, PAGES_MAX), dimension });
  }

  /** The same table in another thread. */
  static join(handle: TableHandle): VectorTable {
    return new VectorTable(handle);
  }

  get handle(): TableHandle {
    return { memory: this.#memory, dimension: this.dimension };
  }

  /** Bytes taken. */
  get bytes(): number {
    return this.#memory.buffer.byteLength;
  }

  /** Only the owning thread writes. @throws Fault `gallery_full`, `invalid_template` */
  set(slot: number, vector: Float32Array): void {
    if (!isUnit(vector, this.dimension))
      throw new Fault(
        "invalid_template",
        `slot ${slot}: not a finite unit vector of ${this.dimension} values`,
      );
    this.#reserve(slot + 1);
    this.#floats.set(vector, this.#at(slot));
  }

  /** Forgets the vector at once, whoever still holds its slot: it scores 0 from now on. */
  wipe(slot: number): void {
    this.#refresh(slot + 1);
    this.#floats.fill(0, this.#at(slot), this.#at(slot + 1));
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
   * The `k` best of slots 0 … `slots` − 1 for which `holds`, best first.
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
    this.#refresh(slots);
    const queryAt = (scanner * SCRATCH_BYTES) / 4 + BLOCK_ROWS;
    const scoresAt = queryAt - BLOCK_ROWS;
    this.#floats.fill(0, queryAt, queryAt + this.#stride);
    this.#floats.set(vector, queryAt);
    const best: Scored[] = [];
    let least = Number.NEGATIVE_INFINITY;
    for (let from = 0; from < slots; from += BLOCK_ROWS) {
      const rows = Math.min(BLOCK_ROWS, slots - from);
      this.#scan(this.#at(from) * 4, rows, this.#stride * 4, queryAt * 4, scoresAt * 4);
      const scores = this.#floats;
      for (let row = 0; row < rows; row += 1) {
        const score = scores[scoresAt + row] as number;
        if (!(score > least) || !holds(from + row)) continue;
        insert(best, { slot: from + row, cosine: score }, k);
        if (best.length === k) least = (best[k - 1] as Scored).cosine;
      }
    }
    return best;
  }

  #at(slot: number): number {
    return ROWS_AT / 4 + slot * this.#stride;
  }

  #reserve(slots: number): void {
    const missing = Math.ceil((this.#at(slots) * 4 - this.bytes) / PAGE_BYTES);
    if (missing > 0) {
      // An eighth more at a time, so that enrolling one by one does not grow one by one.
      const pages = Math.max(missing, Math.min(this.bytes >>> 19, 1024));
      try {
        this.#memory.grow(pages);
      } catch (cause) {
        throw new Fault(
          "gallery_full",
          `no memory for ${slots} templates of ${this.dimension} values`,
          { cause },
        );
      }
    }
    this.#refresh(slots);
  }

  /** Another thread may have made the table longer since this one looked. */
  #refresh(slots: number): void {
    if (this.#at(slots) > this.#floats.length) this.#floats = new Float32Array(this.#memory.buffer);
  }
}

/** Keeps `best` sorted, best first, at most `k` long. */
function insert(best: Scored[], scored: Scored, k: number): void {
  let at = best.length;
  while (at > 0 && (best[at - 1] as Scored).cosine < scored.cosine) at -= 1;
  best.splice(at, 0, scored);
  if (best.length > k) best.pop();
}
