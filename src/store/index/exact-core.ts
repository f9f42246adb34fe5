/** Exact search: every vector is looked at. */

import { Fault } from "../../lib/fault.ts";
import { isUnit } from "../../lib/vector.ts";
import type { Scored, VectorTable } from "./vector-table.ts";

export class ExactCore {
  readonly #table: VectorTable;
  readonly #scanner: number;
  #held = new Uint8Array(1024);
  #end = 0;
  #count = 0;

  /** @param scanner the scratch page of this thread */
  constructor(table: VectorTable, scanner = 1) {
    this.#table = table;
    this.#scanner = scanner;
  }

  add(slots: readonly number[]): void {
    for (const slot of slots) {
      if (this.#held[slot] === 1)
        throw new Fault("slot_in_use", `slot ${slot} is in the index already`);
      if (slot >= this.#held.length) {
        const grown = new Uint8Array(Math.max(slot + 1, this.#held.length * 2));
        grown.set(this.#held);
        this.#held = grown;
      }
      this.#held[slot] = 1;
      this.#end = Math.max(this.#end, slot + 1);
      this.#count += 1;
    }
  }

  remove(slots: readonly number[]): void {
    for (const slot of slots) {
      if (this.#held[slot] !== 1) continue;
      this.#held[slot] = 0;
      this.#count -= 1;
    }
    while (this.#end > 0 && this.#held[this.#end - 1] !== 1) this.#end -= 1;
  }

  search(vector: Float32Array, k: number): readonly Scored[] {
    if (!isUnit(vector, this.#table.dimension))
      throw new Fault("invalid_query", "the query is no finite unit vector");
    const held = this.#held;
    return this.#table.nearest(vector, k, this.#end, this.#scanner, (slot) => held[slot] === 1);
  }

  count(): number {
    return this.#count;
  }

  close(): void {
    this.#count = 0;
    this.#end = 0;
  }
}
