/** What the resident set of a process is made of, as /proc/PID/smaps and its threads' own reports tell. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SelfReport } from "./self-report.ts";

/** MB, resident. */
export interface Parts {
  /** The C library's first heap, which grows by brk. */
  readonly heap: number;
  /** Its heaps for other threads: 64 MiB of addresses each, used from below. */
  readonly arenas: number;
  /** Other memory of no file: V8's heaps, large blocks of the C library, stacks, shared vectors. */
  readonly anonymous: number;
  /** Written pages of mapped files. */
  readonly fileWritten: number;
  /** Pages of files, as they are on disk: the kernel takes them back when it wants. */
  readonly file: number;
}

const ARENA_BYTES = 64 * 1024 * 1024;

/** @throws when the process is gone */
export function partsOf(pid: number): Parts {
  const parts = { heap: 0, arenas: 0, anonymous: 0, fileWritten: 0, file: 0 };
  let kind: keyof Parts = "anonymous";
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const mapping = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/.exec(line);
    if (mapping !== null) kind = kindOf(mapping);
    const rss = megabytesIn(/^Rss: +(\d+) kB/, line);
    if (rss !== undefined) parts[kind] += rss;
    const written = megabytesIn(/^Anonymous: +(\d+) kB/, line);
    if (written === undefined || kind !== "file") continue;
    parts.file -= written;
    parts.fileWritten += written;
  }
  return parts;
}

function kindOf([, from = "", to = "", access = "", name = ""]: readonly string[]): keyof Parts {
  if (name === "[heap]") return "heap";
  if (name !== "" && !name.startsWith("[")) return "file";
  const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
  const isArena = start % ARENA_BYTES === 0 && end - start < ARENA_BYTES && access === "rw-p";
  return isArena ? "arenas" : "anonymous";
}

/** By thread: what it last wrote. */
export function reportsOf(directory: string, pid: number): readonly SelfReport[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith(`${pid}-`) && name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as SelfReport);
}

function megabytesIn(pattern: RegExp, line: string): number | undefined {
  const kb = pattern.exec(line)?.[1];
  return kb === undefined ? undefined : (Number(kb) * 1024) / 1e6;
}
