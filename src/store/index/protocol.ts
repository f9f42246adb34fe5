/** What the thread that owns an index is told, and what it answers. Vectors travel in the shared table. */
import type { TableHandle } from "./vector-table.ts";

export type IndexKind = "exact" | "hnsw";

/** `workerData` of an index thread. */
export interface IndexSetup {
  readonly kind: IndexKind;
  readonly table: TableHandle;
  readonly hnsw: HnswParameters;
}

/** https://github.com/nmslib/hnswlib/blob/master/ALGO_PARAMS.md */
export interface HnswParameters {
  readonly m: number;
  readonly efConstruction: number;
  /** Least width of a search; never below 4 × k nor 64. */
  readonly efSearch: number;
  /** Elements that the first allocation holds. */
  readonly capacity: number;
}

export type IndexRequest = { readonly id: number } & (
  | { readonly kind: "add"; readonly slots: readonly number[] }
  | { readonly kind: "remove"; readonly slots: readonly number[] }
  | { readonly kind: "search"; readonly vector: Float32Array; readonly k: number }
  | { readonly kind: "count" }
  | { readonly kind: "close" }
);

export type IndexReply =
  | { readonly id: number; readonly kind: "done" }
  | { readonly id: number; readonly kind: "count"; readonly count: number }
  | {
      readonly id: number;
      readonly kind: "found";
      readonly slots: readonly number[];
      readonly cosines: readonly number[];
    }
  | {
      readonly id: number;
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
    };
