/** What the benchmarks of the whole daemon share: its site, one enrolled person, its processes from outside. */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, commandLineOf } from "../support/daemon.ts";
import { GROUP, type Site } from "../support/site.ts";
import { portrait } from "./pictures.ts";

export const PERSON = "astronaut";

/** As `scripts/ostiary` starts it: modules are compiled once per machine, the nursery is small, blocks are freed. */
export const LAUNCHED = {
  NODE_COMPILE_CACHE: join(tmpdir(), "ostiary-bench-compiled"),
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: String(128 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(1024 * 1024),
  NODE_OPTIONS: "--max-semi-space-size=4",
};

/** Enrols the person of the portrait. */
export async function enrolPerson(site: Site): Promise<void> {
  await site.done("identity/put", { id: PERSON, displayName: "Astronaut", groups: [GROUP] });
  const image = (await readFile(await portrait())).toString("base64");
  await site.done("enrolment/add-image", { id: PERSON, image });
}

/** Nobody is in view any more. */
export async function settled(site: Site): Promise<void> {
  await site.eventually(
    async () => ((await site.status())["doorkeeper"] as { readonly tracks: number }).tracks === 0,
    "everybody has left",
    60_000,
  );
}

export interface Process {
  readonly name: string;
  readonly pid: number;
}

/** Main, vision, one decoder per camera. */
export function processesOf(site: Site): readonly Process[] {
  const { pid } = site.daemon;
  return [
    { name: "main", pid },
    ...childrenOf(pid).map((child) => ({ name: roleOf(commandLineOf(child)), pid: child })),
  ];
}

const roleOf = (commandLine: string): string =>
  /vision/.test(commandLine) ? "vision" : /ffmpeg/.test(commandLine) ? "decoder" : "other";

export interface Usage {
  readonly rssMb: number;
  /** Of no file: heaps, stacks, buffers. */
  readonly anonymousMb: number;
  readonly peakMb: number;
  readonly fds: number;
  /** Since its start. */
  readonly cpuSeconds: number;
}

/** @returns undefined when the process is gone */
export function usageOf(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Behind the name, which may hold spaces: fields 14 and 15 are ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      rssMb: megabytes(status, "VmRSS"),
      peakMb: megabytes(status, "VmHWM"),
      anonymousMb: megabytes(status, "RssAnon"),
      fds: readdirSync(`/proc/${pid}/fd`).length,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    };
  } catch {
    return undefined;
  }
}

/**
 * Resident memory of several processes together, MB: pages of files (Node's own code, libraries) that they
 * share count once, at the largest share that one of them holds.
 */
export function togetherMb(pids: readonly number[]): number {
  let anonymous = 0;
  const files = new Map<string, number>();
  for (const pid of pids) {
    const own = new Map<string, number>();
    let file = "";
    for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
      const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$/.exec(line);
      if (mapping !== null) file = mapping[1] ?? "";
      const rss = /^Rss: +(\d+) kB/.exec(line)?.[1];
      const dirty = /^Anonymous: +(\d+) kB/.exec(line)?.[1];
      if (rss !== undefined) own.set(file, (own.get(file) ?? 0) + Number(rss));
      if (dirty === undefined) continue;
      anonymous += Number(dirty);
      own.set(file, (own.get(file) ?? 0) - Number(dirty));
    }
    for (const [name, kb] of own) files.set(name, Math.max(files.get(name) ?? 0, kb));
  }
  return ((anonymous + [...files.values()].reduce((sum, kb) => sum + kb, 0)) * 1024) / 1e6;
}

const megabytes = (text: string, field: string): number =>
  (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6;

export const pause = (ms: number): Promise<void> =>
  new Promise((later) => {
    setTimeout(later, ms);
  });
