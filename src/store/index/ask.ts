/** A search in an index thread that may be dead, or too busy to answer in time. */
import type { Clock } from "../../lib/clock.ts";
import { codeOf } from "../../lib/fault.ts";
import type { Log } from "../../lib/log.ts";
import type { ThreadIndex } from "./thread-index.ts";

const SEARCH_TIMEOUT_MS = 250;

/** @returns the slots it proposes; undefined when the index is not there, failed, or was silent too long */
export async function ask(
  index: ThreadIndex | undefined,
  vector: Float32Array,
  k: number,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<readonly number[] | undefined> {
  if (index === undefined) return undefined;
  const answered = new AbortController();
  try {
    const silence = clock.sleep(SEARCH_TIMEOUT_MS, answered.signal).then(() => undefined);
    const found = await Promise.race([index.search(vector, k), silence]);
    return found?.map(({ slot }) => slot);
  } catch (cause) {
    log.warn(
      { index: index.kind, code: codeOf(cause) },
      "index search failed: answered on the calling thread",
    );
    return undefined;
  } finally {
    answered.abort();
  }
}
