/**
 * hnswlib-node under the rules that keep it from losing data or killing the process: no file, no NaN, no
 * filter, labels below 2³², each label once, one thread, and its memory freed by hand (V8 does not see it).
 */
import hnswlib from "hnswlib-node";
import { Fault } from "../../lib/fault.ts";
import { isUnit } from "../../lib/vector.ts";
import type { HnswParameters } from "./protocol.ts";
import type { Scored, VectorTable } from "./vector-table.ts";

const LABEL_MAX = 0xffff_ffff;
/** Fixed, so that the same gallery builds the same graph. */
const LEVEL_SEED = 100;

export class HnswCore {
  readonly #table: VectorTable;
  readonly #index: InstanceType<typeof hnswlib.HierarchicalNSW>;
  readonly #efSearch: number;
  readonly #live = new Set<number>();
  readonly #used = new Set<number>();
  /** The addon takes nothing but plain arrays. */
  readonly #query: number[];
  #capacity: number;
  #ef = 0;

  constructor(table: VectorTable, { m, efConstruction, efSearch, capacity }: HnswParameters) {
    this.#table = table;
    this.#efSearch = efSearch;
    this.#capacity = Math.max(1, capacity);
    this.#query = new Array<number>(table.dimension).fill(0);
    this.#index = new hnswlib.HierarchicalNSW("ip", table.dimension);
    this.#index.initIndex(this.#capacity, m, efConstruction, LEVEL_SEED);
  }

  /** A slot that is wiped already was erased while it waited: it is passed over. */
  add(slots: readonly number[]): void {
    for (const slot of slots) {
      if (!Number.isInteger(slot) || slot < 0 || slot > LABEL_MAX)
        throw new Fault("invalid_slot", `slot ${slot} is no label: 0 to ${LABEL_MAX}`);
      if (this.#used.has(slot))
        throw new Fault("slot_in_use", `slot ${slot} was used in this generation already`);
      const vector = this.#table.get(slot);
      if (!isUnit(vector, this.#table.dimension)) continue;
      if (this.#used.size >= this.#capacity) this.#grow();
      this.#index.addPoint(Array.from(vector), slot);
      this.#used.add(slot);
      this.#live.add(slot);
    }
  }

  remove(slots: readonly number[]): void {
    for (const slot of slots) if (this.#live.delete(slot)) this.#index.markDelete(slot);
  }

  search(vector: Float32Array, k: number): readonly Scored[] {
    if (!isUnit(vector, this.#table.dimension))
      throw new Fault("invalid_query", "the query is no finite unit vector");
    const asked = Math.min(k, this.#live.size);
    if (asked === 0) return [];
    this.#setEf(Math.max(64, 4 * k, this.#efSearch));
    const query = this.#query;
    for (let index = 0; index < query.length; index += 1) query[index] = vector[index] as number;
    const { neighbors, distances } = this.#index.searchKnn(query, asked);
    return neighbors.map((slot, index) => ({ slot, cosine: 1 - (distances[index] ?? Number.NaN) }));
  }

  count(): number {
    return this.#live.size;
  }

  close(): void {
    this.#index.initIndex(1);
    this.#live.clear();
    this.#used.clear();
  }

  #setEf(ef: number): void {
    if (ef === this.#ef) return;
    this.#index.setEf(ef);
    this.#ef = ef;
  }

  #grow(): void {
    this.#capacity = Math.ceil(this.#capacity * 1.5) + 16;
    this.#index.resizeIndex(this.#capacity);
  }
}
