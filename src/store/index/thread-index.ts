/** An index in a thread of its own, seen from outside. A dead thread fails what waits and everything after. */
import { Worker } from "node:worker_threads";
import type { EmbeddingIndex, Neighbour } from "../../gallery/index-port.ts";
import { cosine } from "../../lib/brand.ts";
import { Fault } from "../../lib/fault.ts";
import type {
  HnswParameters,
  IndexKind,
  IndexReply,
  IndexRequest,
  IndexSetup,
} from "./protocol.ts";
import type { VectorTable } from "./vector-table.ts";

/** More waiting requests than this are refused: someone asks faster than the index answers. */
const WAITING_MAX = 1024;
/**
 * Measured on 100 000 clustered 256-d templates (test/bench): top 1 is the exact one for good pictures of
 * the enrolled; for poor ones a thinner graph loses more, and a richer one takes longer to build.
 */
export const HNSW_DEFAULTS: Omit<HnswParameters, "capacity"> = {
  m: 24,
  efConstruction: 150,
  efSearch: 96,
};

type Request = IndexRequest extends infer R ? (R extends unknown ? Omit<R, "id"> : never) : never;

interface Waiting {
  readonly resolve: (reply: IndexReply) => void;
  readonly reject: (fault: Fault) => void;
}

export class ThreadIndex implements EmbeddingIndex {
  readonly kind: IndexKind;
  readonly dimension: number;
  readonly #table: VectorTable;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #died = Promise.withResolvers<Fault>();
  #lastId = 0;
  #end: Fault | undefined;
  #isClosing = false;

  private constructor(kind: IndexKind, table: VectorTable, worker: Worker) {
    this.kind = kind;
    this.dimension = table.dimension;
    this.#table = table;
    this.#worker = worker;
    worker.on("message", (reply: IndexReply) => this.#settle(reply));
    worker.on("error", (cause) =>
      this.#fail(
        new Fault("index_died", `the ${kind} index thread failed`, { retry: "later", cause }),
      ),
    );
    worker.on("exit", (code) =>
      this.#fail(
        this.#isClosing
          ? closed(kind)
          : new Fault("index_died", `the ${kind} index thread ended (${code})`, { retry: "later" }),
      ),
    );
  }

  /**
   * Starts empty; the thread is ready when the first request is answered.
   *
   * @param table shared with every index of the space; this side's owner is the only one who writes it
   */
  static start(
    kind: IndexKind,
    table: VectorTable,
    hnsw: Partial<HnswParameters> = {},
  ): ThreadIndex {
    const setup: IndexSetup = {
      kind,
      table: table.handle,
      hnsw: { ...HNSW_DEFAULTS, capacity: 1024, ...hnsw },
    };
    const worker = new Worker(new URL("./worker.ts", import.meta.url), {
      workerData: setup,
      name: `index-${kind}`,
      stdout: false,
      stderr: false,
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    // It ends with its owner, not the other way round.
    worker.unref();
    return new ThreadIndex(kind, table, worker);
  }

  /** Resolves when the thread is gone, by itself or because it was disposed of. */
  get died(): Promise<Fault> {
    return this.#died.promise;
  }

  /** Writes the vectors into the table and the slots into the index. @throws Fault `slot_in_use`, `invalid_template` */
  async add(
    entries: readonly { readonly slot: number; readonly vector: Float32Array }[],
  ): Promise<void> {
    for (const { slot, vector } of entries) this.#table.set(slot, vector);
    await this.addSlots(entries.map((entry) => entry.slot));
  }

  /** As {@link add} for vectors that lie in the table already. */
  async addSlots(slots: readonly number[]): Promise<void> {
    await this.#ask({ kind: "add", slots });
  }

  async remove(slots: readonly number[]): Promise<void> {
    await this.#ask({ kind: "remove", slots });
  }

  async search(vector: Float32Array, k: number): Promise<readonly Neighbour[]> {
    const reply = await this.#ask({ kind: "search", vector, k });
    if (reply.kind !== "found") return [];
    return reply.slots.map((slot, index) => ({
      slot,
      cosine: cosine(reply.cosines[index] ?? Number.NaN),
    }));
  }

  async count(): Promise<number> {
    const reply = await this.#ask({ kind: "count" });
    return reply.kind === "count" ? reply.count : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    // The index frees its memory by hand before the thread goes.
    if (this.#end === undefined) await this.#ask({ kind: "close" }).catch(() => undefined);
    this.#fail(closed(this.kind));
    await this.#worker.terminate();
  }

  #ask(request: Request): Promise<IndexReply> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (this.#waiting.size >= WAITING_MAX) {
      return Promise.reject(
        new Fault("index_busy", `${WAITING_MAX} requests wait for the ${this.kind} index`, {
          retry: "later",
        }),
      );
    }
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id });
    });
  }

  #settle(reply: IndexReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === "failed") waiting?.reject(new Fault(reply.code, reply.message));
    else waiting?.resolve(reply);
  }

  #fail(fault: Fault): void {
    if (this.#end !== undefined) return;
    this.#end = fault;
    for (const { reject } of this.#waiting.values()) reject(fault);
    this.#waiting.clear();
    this.#died.resolve(fault);
  }
}

const closed = (kind: IndexKind): Fault => new Fault("index_closed", `the ${kind} index is closed`);
