/** Small files, whole, in memory: metadata, `pack.json`, desired states. */
import { backoffMs } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { codeOf, Fault } from "../../lib/fault.ts";
import type { RepositoryOptions } from "./options.ts";
import { notIdle, paced } from "./pace.ts";
import { nameOf, type Opened, StatusFault, type Transport } from "./transport.ts";

export interface FetchDeps {
  readonly options: RepositoryOptions;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const BACKOFF = { firstMs: 200, maxMs: 10_000 };

/** Whether the same request may succeed soon. */
export function isPassing(thrown: unknown): boolean {
  if (thrown instanceof StatusFault) return thrown.status >= 500 || thrown.status === 429;
  const code = codeOf(thrown);
  return code === "fetch_failed" || code === "fetch_timeout";
}

/** Waits before try number `failed + 1`. @throws the signal's reason */
export async function pause(failed: number, { clock, signal }: FetchDeps): Promise<void> {
  await clock.sleep(backoffMs(failed - 1, 1, BACKOFF), signal);
  signal.throwIfAborted();
}

/**
 * @param limit most bytes that are taken
 * @throws Fault `too_large` and what {@link Transport} and {@link paced} throw
 */
export async function fetchBytes(url: URL, limit: number, deps: FetchDeps): Promise<Buffer> {
  for (let failed = 1; ; failed += 1) {
    try {
      return await fetchOnce(url, limit, deps);
    } catch (thrown) {
      deps.signal.throwIfAborted();
      if (failed >= deps.options.attempts || !isPassing(thrown)) throw thrown;
    }
    await pause(failed, deps);
  }
}

async function fetchOnce(url: URL, limit: number, deps: FetchDeps): Promise<Buffer> {
  const { options, transport, clock } = deps;
  const name = nameOf(url);
  // Ends the request when we stop waiting for it.
  const stop = new AbortController();
  const signal = AbortSignal.any([deps.signal, stop.signal]);
  let opened: Opened | undefined;
  try {
    opened = await notIdle(transport.open(url, 0, signal), name, options, clock);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of paced(opened.body, name, options, clock)) {
      bytes += chunk.byteLength;
      if (bytes > limit) throw tooLarge(name, limit);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, bytes);
  } finally {
    stop.abort();
    opened?.close();
  }
}

export function tooLarge(name: string, limit: number): Fault {
  return new Fault(
    "too_large",
    `${name} is larger than the ${limit} bytes that are allowed: check the repository`,
    { retry: "later" },
  );
}
