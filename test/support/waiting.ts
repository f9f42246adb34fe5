/** Waits that end: whatever a test waits for may never come. */

/** For what happens within a second on an idle machine; a busy one needs a multiple. */
export const PATIENCE_MS = 30_000;

/**
 * @param what in words, for the message
 * @param explain more of it, asked for when the time is over
 * @returns what `wanted` resolves to. @throws when the time is over
 */
export async function within<T>(
  wanted: Promise<T>,
  what: string,
  timeoutMs: number = PATIENCE_MS,
  explain: () => string = () => "",
): Promise<T> {
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => over.reject(new Error(`not within ${timeoutMs} ms: ${what}\n${explain()}`.trimEnd())),
    timeoutMs,
  );
  try {
    return await Promise.race([wanted, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
