/** One HNSW generation: filled in a thread of its own while something else serves, and tried before it may. */
import { Fault } from "../../lib/fault.ts";
import type { HnswParameters } from "./protocol.ts";
import type { SlotBook } from "./slot-book.ts";
import { ThreadIndex } from "./thread-index.ts";
import type { VectorTable } from "./vector-table.ts";

/** Added per message: removals and additions of the day slip in between. */
const CHUNK = 256;
const SELF_SEARCHES = 100;
/** A stored vector must find itself; hnswlib may lose single elements in churn. */
const SELF_FOUND_MIN = 0.99;
const SELF_COSINE_MIN = 0.9999;

export interface GenerationParts {
  readonly table: VectorTable;
  readonly book: SlotBook;
  readonly parameters: Partial<HnswParameters>;
}

/** Starts the thread. Everything that is added or removed from now on must reach it as well. */
export function startGeneration({ table, book, parameters }: GenerationParts): ThreadIndex {
  return ThreadIndex.start("hnsw", table, {
    ...parameters,
    capacity: Math.ceil(book.templateCount * 1.25) + 1024,
  });
}

/**
 * @param slots what was owned when the generation started
 * @throws Fault `index_unfit` when too many vectors do not find themselves, or what the thread failed with
 */
export async function fillGeneration(
  index: ThreadIndex,
  slots: readonly number[],
  { table, book }: GenerationParts,
  signal: AbortSignal,
): Promise<void> {
  for (let from = 0; from < slots.length; from += CHUNK) {
    signal.throwIfAborted();
    // Erased since the start: never added.
    await index.addSlots(
      slots.slice(from, from + CHUNK).filter((slot) => book.ownerOf(slot) !== undefined),
    );
  }
  let [asked, found] = [0, 0];
  const step = Math.max(1, Math.floor(slots.length / SELF_SEARCHES));
  for (let at = 0; at < slots.length; at += step) {
    const slot = slots[at];
    if (slot === undefined || book.ownerOf(slot) === undefined) continue;
    signal.throwIfAborted();
    const vector = table.get(slot);
    const [best] = await index.search(vector, 1);
    if (book.ownerOf(slot) === undefined) continue;
    asked += 1;
    if (best !== undefined && table.cosineWith(best.slot, vector) >= SELF_COSINE_MIN) found += 1;
  }
  if (!(found >= asked * SELF_FOUND_MIN)) {
    throw new Fault(
      "index_unfit",
      `only ${found} of ${asked} templates find themselves in the new index`,
      { retry: "later" },
    );
  }
}
