/** Entry of an index thread: one owner, one request at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { codeOf, messageOf } from "../../lib/fault.ts";
import { ExactCore } from "./exact-core.ts";
import { HnswCore } from "./hnsw-core.ts";
import type { IndexReply, IndexRequest, IndexSetup } from "./protocol.ts";
import { type Scored, VectorTable } from "./vector-table.ts";

/** An index as its own thread sees it. */
export interface IndexCore {
  readonly add: (slots: readonly number[]) => void;
  readonly remove: (slots: readonly number[]) => void;
  readonly search: (vector: Float32Array, k: number) => readonly Scored[];
  readonly count: () => number;
  readonly close: () => void;
}

const setup = workerData as IndexSetup;
const table = VectorTable.join(setup.table);
const core: IndexCore =
  setup.kind === "exact" ? new ExactCore(table) : new HnswCore(table, setup.hnsw);

parentPort?.on("message", (request: IndexRequest) => {
  parentPort?.postMessage(replyTo(request));
  if (request.kind === "close") parentPort?.close();
});

function replyTo(request: IndexRequest): IndexReply {
  const { id } = request;
  try {
    switch (request.kind) {
      case "add":
        core.add(request.slots);
        return { id, kind: "done" };
      case "remove":
        core.remove(request.slots);
        return { id, kind: "done" };
      case "search": {
        const found = core.search(request.vector, request.k);
        return {
          id,
          kind: "found",
          slots: found.map((each) => each.slot),
          cosines: found.map((each) => each.cosine),
        };
      }
      case "count":
        return { id, kind: "count", count: core.count() };
      case "close":
        core.close();
        return { id, kind: "done" };
    }
  } catch (cause) {
    return { id, kind: "failed", code: codeOf(cause), message: messageOf(cause) };
  }
}
