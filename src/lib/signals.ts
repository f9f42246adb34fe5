/** One signal of several, for work that comes and goes beside signals that live as long as the daemon. */

export interface Linked extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * A signal that aborts with the first of these. Disposed, it hangs on none of them any more and never
 * aborts: `AbortSignal.any` leaves 30 to 50 bytes in a source that lives on, each time (Node 24.21), which
 * is megabytes a day where it happens with every command.
 */
export function linked(...sources: readonly AbortSignal[]): Linked {
  const controller = new AbortController();
  const unlink = (): void => {
    for (const source of sources) source.removeEventListener("abort", abort);
  };
  const abort = (): void => {
    unlink();
    controller.abort();
  };
  if (sources.some(({ aborted }) => aborted)) controller.abort();
  else for (const source of sources) source.addEventListener("abort", abort, { once: true });
  return { signal: controller.signal, [Symbol.dispose]: unlink };
}
