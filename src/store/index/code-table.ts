/**
 * Every vector once more in eight bits a value, with what that lost: a scan of a quarter of the memory
 * that leaves out no row which could be among the best.
 *
 * With v = s·c + δ (codes c, scale s) and the query q = t·p + ε, Cauchy and Schwarz give
 * |v·q − s·t·(c·p)| ≤ ‖δ‖·‖q‖ + ‖v − δ‖·‖ε‖: each row keeps s and ‖δ‖.
 */
import { LANE_VALUES, type Scan, scanOver } from "./scan-kernel.ts";
import { PAGE_BYTES, reserve, type SharedMemory, sharedMemory } from "./shared-memory.ts";

/** Each thread that scans has a page of its own for the query and the sums. */
export const SCANNERS = 4;
const BLOCK_ROWS = 8192;
const ROWS_AT = SCANNERS * PAGE_BYTES;
const CODE_MAX = 127;
/** 8192 dimensions of such values and codes stay within 32 bits, and the query loses next to nothing. */
const QUERY_MAX = 2047;
export const DIMENSION_MAX = 8192;
/** Vectors and queries are unit to within far less; the stored numbers are rounded to 24 bits. */
const LONGEST = 1.01;
const SLACK = 1e-6;
/** After the codes of a row: its scale and its error, as floats. */
const ROW_EXTRA_BYTES = 8;

export class CodeTable {
  readonly #memory: SharedMemory;
  readonly #scan: Scan;
  readonly #dimension: number;
  readonly #values: number;
  readonly #rowBytes: number;
  #codes: Int8Array;
  #sums: Int32Array;
  #floats: Float32Array;

  constructor(dimension: number, memory = sharedMemory(SCANNERS + 1)) {
    this.#dimension = dimension;
    this.#memory = memory;
    this.#scan = scanOver(memory);
    this.#values = Math.ceil(dimension / LANE_VALUES) * LANE_VALUES;
    this.#rowBytes = this.#values + ROW_EXTRA_BYTES;
    this.#codes = new Int8Array(memory.buffer);
    this.#sums = new Int32Array(memory.buffer);
    this.#floats = new Float32Array(memory.buffer);
  }

  get memory(): SharedMemory {
    return this.#memory;
  }

  /** @throws Fault `gallery_full` */
  set(slot: number, vector: Float32Array): void {
    reserve(this.#memory, this.#at(slot + 1));
    this.#refresh(slot + 1);
    const at = this.#at(slot);
    const scale = Math.fround(largest(vector) / CODE_MAX);
    let lost = 0;
    for (let index = 0; index < this.#dimension; index += 1) {
      const value = vector[index] as number;
      const code = Math.min(CODE_MAX, Math.max(-CODE_MAX, Math.round(value / scale)));
      this.#codes[at + index] = code;
      lost += (value - code * scale) ** 2;
    }
    const extra = (at + this.#values) / 4;
    this.#floats[extra] = scale;
    this.#floats[extra + 1] = Math.sqrt(lost);
  }

  /** It scores 0 from now on. */
  wipe(slot: number): void {
    this.#refresh(slot + 1);
    this.#codes.fill(0, this.#at(slot), this.#at(slot + 1));
  }

  /**
   * All of the slots 0 … `slots` − 1 for which `holds` that may be among the `k` best, and a few more.
   *
   * @param scanner which scratch page; one per thread
   */
  likely(
    vector: Float32Array,
    k: number,
    slots: number,
    scanner: number,
    holds: (slot: number) => boolean,
  ): number[] {
    this.#refresh(slots);
    const sumsAt = scanner * PAGE_BYTES;
    const queryAt = sumsAt + BLOCK_ROWS * 4;
    const { scale, lost } = this.#writeQuery(vector, queryAt);
    const found: number[] = [];
    const most: number[] = [];
    const leasts: number[] = [];
    let least = Number.NEGATIVE_INFINITY;
    for (let from = 0; from < slots; from += BLOCK_ROWS) {
      const rows = Math.min(BLOCK_ROWS, slots - from);
      this.#scan(this.#at(from), rows, this.#rowBytes, this.#values, queryAt, sumsAt);
      let extra = (this.#at(from) + this.#values) / 4;
      for (let row = 0; row < rows; row += 1, extra += this.#rowBytes / 4) {
        const sum = this.#sums[sumsAt / 4 + row] as number;
        const rowLost = this.#floats[extra + 1] as number;
        const score = sum * (this.#floats[extra] as number) * scale;
        const off = LONGEST * (rowLost + (1 + rowLost) * lost) + SLACK;
        if (score + off < least || !holds(from + row)) continue;
        found.push(from + row);
        most.push(score + off);
        if (score - off <= least) continue;
        insert(leasts, score - off, k);
        if (leasts.length === k) least = leasts[k - 1] as number;
      }
    }
    return found.filter((_, index) => (most[index] as number) >= least);
  }

  /** @returns the query's scale, and the length of what its 12 bits lost */
  #writeQuery(vector: Float32Array, at: number): { scale: number; lost: number } {
    const query = new Int16Array(this.#memory.buffer, at, this.#values);
    query.fill(0);
    const scale = largest(vector) / QUERY_MAX;
    let lost = 0;
    for (let index = 0; index < this.#dimension; index += 1) {
      const value = vector[index] as number;
      const code = Math.round(value / scale);
      query[index] = code;
      lost += (value - code * scale) ** 2;
    }
    return { scale, lost: Math.sqrt(lost) };
  }

  #at(slot: number): number {
    return ROWS_AT + slot * this.#rowBytes;
  }

  /** Another thread may have made the table longer since this one looked. */
  #refresh(slots: number): void {
    if (this.#at(slots) <= this.#codes.length) return;
    this.#codes = new Int8Array(this.#memory.buffer);
    this.#sums = new Int32Array(this.#memory.buffer);
    this.#floats = new Float32Array(this.#memory.buffer);
  }
}

function largest(vector: Float32Array): number {
  let most = 0;
  for (const value of vector) most = Math.max(most, Math.abs(value));
  return most;
}

/** Keeps the `k` greatest, greatest first. */
function insert(greatest: number[], value: number, k: number): void {
  let at = greatest.length;
  while (at > 0 && (greatest[at - 1] as number) < value) at -= 1;
  greatest.splice(at, 0, value);
  if (greatest.length > k) greatest.pop();
}
