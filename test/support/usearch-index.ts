/** usearch behind the same port, to be measured beside hnswlib-node. Not used by the daemon. */
import usearch from "usearch";
import type { EmbeddingIndex, Neighbour } from "../../src/gallery/index-port.ts";
import { cosine } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { isUnit } from "../../src/lib/vector.ts";
import { HNSW_DEFAULTS } from "../../src/store/index/thread-index.ts";

export class UsearchIndex implements EmbeddingIndex {
  readonly kind = "hnsw";
  readonly dimension: number;
  readonly #held = new Set<number>();
  #index: InstanceType<typeof usearch.Index> | undefined;

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#index = new usearch.Index({
      metric: usearch.MetricKind.IP,
      quantization: usearch.ScalarKind.F32,
      dimensions: dimension,
      connectivity: HNSW_DEFAULTS.m,
      expansion_add: HNSW_DEFAULTS.efConstruction,
      expansion_search: HNSW_DEFAULTS.efSearch,
      multi: false,
    });
  }

  async add(
    entries: readonly { readonly slot: number; readonly vector: Float32Array }[],
  ): Promise<void> {
    const index = this.#open();
    for (const { slot, vector } of entries) {
      if (!isUnit(vector, this.dimension))
        throw new Fault("invalid_template", `slot ${slot}: no unit vector`);
      if (this.#held.has(slot)) throw new Fault("slot_in_use", `slot ${slot} is held`);
      index.add(BigInt(slot), vector);
      this.#held.add(slot);
    }
  }

  async remove(slots: readonly number[]): Promise<void> {
    const index = this.#open();
    for (const slot of slots) if (this.#held.delete(slot)) index.remove(BigInt(slot));
  }

  async search(vector: Float32Array, k: number): Promise<readonly Neighbour[]> {
    const index = this.#open();
    if (!isUnit(vector, this.dimension)) throw new Fault("invalid_query", "no unit vector");
    const asked = Math.min(k, this.#held.size);
    if (asked === 0) return [];
    const { keys, distances } = index.search(vector, asked, 0);
    return Array.from(keys, (key, at) => ({
      slot: Number(key),
      cosine: cosine(1 - (distances[at] ?? Number.NaN)),
    }));
  }

  async count(): Promise<number> {
    return this.#held.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#index = undefined;
  }

  #open(): InstanceType<typeof usearch.Index> {
    if (this.#index === undefined) throw new Fault("index_closed", "the index is closed");
    return this.#index;
  }
}
