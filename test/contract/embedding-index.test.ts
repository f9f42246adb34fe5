import { ThreadIndex } from "../../src/store/index/thread-index.ts";
import { VectorTable } from "../../src/store/index/vector-table.ts";
import { UsearchIndex } from "../support/usearch-index.ts";
import { embeddingIndexContract } from "./embedding-index.ts";

for (const kind of ["exact", "hnsw"] as const) {
  embeddingIndexContract(kind, async (dimension) =>
    ThreadIndex.start(kind, VectorTable.create(dimension), { capacity: 16 }),
  );
}
embeddingIndexContract("usearch", async (dimension) => new UsearchIndex(dimension));
