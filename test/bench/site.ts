/** What the benchmarks of the whole daemon share: its site, one enrolled person, its processes from outside. */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { childrenOf, commandLineOf } from "../support/daemon.ts";
import { GROUP, type Site } from "../support/site.ts";
import { portrait } from "./pictures.ts";

export const PERSON = "astronaut";

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
  /** Pages that others map too count in part. */
  readonly pssMb: number;
  readonly peakMb: number;
  readonly fds: number;
  /** Since its start. */
  readonly cpuSeconds: number;
}

/** @returns undefined when the process is gone */
export function usageOf(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Behind the name, which may hold spaces: field 14 and 15 are ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      rssMb: megabytes(status, "VmRSS"),
      peakMb: megabytes(status, "VmHWM"),
      pssMb: megabytes(rollup, "Pss"),
      fds: readdirSync(`/proc/${pid}/fd`).length,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    };
  } catch {
    return undefined;
  }
}

const megabytes = (text: string, field: string): number =>
  (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6;

export const pause = (ms: number): Promise<void> =>
  new Promise((later) => {
    setTimeout(later, ms);
  });
