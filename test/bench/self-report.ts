/**
 * Preloaded by the soak into the daemon (`--import`), in each of its threads: what V8 says of its own heap,
 * into a file of the thread. From outside, a heap and a C library's memory look alike.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getHeapStatistics } from "node:v8";
import { threadId } from "node:worker_threads";

const PERIOD_MS = 2000;

export interface SelfReport {
  readonly pid: number;
  readonly threadId: number;
  /** All in bytes. Of the heap: what lives or waits for the collector. */
  readonly used: number;
  /** Pages of the heap that are in memory. */
  readonly resident: number;
  /** Held by JavaScript outside the heap: buffers among it. */
  readonly external: number;
  readonly arrayBuffers: number;
  /** By V8 itself, from the C library. */
  readonly malloced: number;
}

const directory = process.env["OSTIARY_BENCH_REPORTS"];
if (directory !== undefined) setInterval(() => report(directory), PERIOD_MS).unref();

function report(into: string): void {
  const heap = getHeapStatistics();
  const { external, arrayBuffers } = process.memoryUsage();
  const file = join(into, `${process.pid}-${threadId}.json`);
  const now: SelfReport = {
    pid: process.pid,
    threadId,
    used: heap.used_heap_size,
    resident: heap.total_physical_size,
    external,
    arrayBuffers,
    malloced: heap.malloced_memory,
  };
  writeFileSync(`${file}.new`, JSON.stringify(now));
  renameSync(`${file}.new`, file);
}
