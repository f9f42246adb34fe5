/** Two cameras for minutes, people coming and going, somebody enrolled and erased all the time: does anything grow? */

import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIDDLE, stillOf, THREE_PEOPLE, visitClip as walkClip } from "../support/people.ts";
import { GROUP, type Site, startSite } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";
import { type Bench, type BenchResult, type Cell, digits } from "./bench.ts";
import { type Parts, partsOf, reportsOf } from "./mappings.ts";
import { visitClip } from "./pictures.ts";
import { enrolPerson, LAUNCHED, pause, processesOf, type Usage, usageOf } from "./site.ts";
import { floorsOf, median, percentile, type Slope, slopeOf } from "./stats.ts";

const MINUTES = Number(process.env["OSTIARY_SOAK_MINUTES"] ?? 10);
/** Every sample as a line of JSON. */
const SAMPLES_FILE = process.env["OSTIARY_SOAK_SAMPLES"];
/** More variables for the daemon, as JSON: to compare settings. */
const ENVIRONMENT = JSON.parse(process.env["OSTIARY_SOAK_ENV"] ?? "{}") as Record<string, string>;
const SAMPLE_MS = 2000;
const CHURN_MS = 5000;
/** Caches fill and the heaps find their size: so long, but at most half of a short soak. */
const WARM_UP_MINUTES = 10;
/** A resident set rises and falls with the collectors by some MB within minutes; what stays is its floor. */
const FLOOR_MS = 120_000;
const SLOPE_MAX_MB_PER_HOUR = 1;

/** Main's own threads, as they say; absent for the others. */
interface OwnWords {
  readonly mainHeapMb: number;
  readonly mainHeapUsedMb: number;
  readonly threadHeapsMb: number;
  readonly externalMb: number;
}
interface Sample extends Usage, Partial<OwnWords> {
  readonly atMs: number;
  readonly parts: Parts;
}
interface Watched {
  readonly name: string;
  readonly samples: Sample[];
}
interface Churn {
  enrolled: number;
  erased: number;
  failed: number;
  readonly answersMs: number[];
}

export const bench: Bench = async ({ quick, say }) => {
  const minutes = quick ? 0.5 : MINUTES;
  const front = await visitClip({ from: 2, until: 6, seconds: 10 });
  const side = await walkClip(THREE_PEOPLE);
  const reports = mkdtempSync(join(tmpdir(), "ostiary-soak-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(reports, { recursive: true, force: true }));
  const preload = new URL("./self-report.ts", import.meta.url);
  const site = stack.use(
    await startSite({
      env: {
        ...LAUNCHED,
        ...ENVIRONMENT,
        NODE_OPTIONS: `${LAUNCHED.NODE_OPTIONS} --import=${preload.href}`,
        OSTIARY_BENCH_REPORTS: reports,
      },
      cameras: [
        { id: "front", clip: front },
        { id: "side", clip: side },
      ],
      config: { decision: { coolDownMs: 1000 } },
    }),
  );
  await enrolPerson(site);
  const stop = new AbortController();
  const churn: Churn = { enrolled: 0, erased: 0, failed: 0, answersMs: [] };
  const churning = churnOf(site, churn, stop.signal);
  const began = monotonicNow();
  const watched = processesOf(site).map(({ name, pid }) => ({
    name,
    pid,
    samples: [] as Sample[],
  }));
  const until = began + minutes * 60_000;
  let told = 0;
  while (monotonicNow() < until) {
    await pause(SAMPLE_MS);
    const atMs = monotonicNow() - began;
    for (const { name, pid, samples } of watched) {
      const usage = usageOf(pid);
      if (usage === undefined) continue;
      const sample = { ...usage, ...ownWordsOf(reports, pid), parts: partsOf(pid), atMs };
      samples.push(sample);
      if (SAMPLES_FILE !== undefined)
        appendFileSync(SAMPLES_FILE, `${JSON.stringify({ name, ...sample })}\n`);
    }
    if (Math.floor(atMs / 60_000) > told) {
      told = Math.floor(atMs / 60_000);
      say(`${told} of ${minutes} min, ${site.decisions.length} decisions`);
    }
  }
  stop.abort();
  await churning;
  return resultOf(site, watched, churn, minutes, await site.status());
};

function ownWordsOf(directory: string, pid: number): OwnWords | undefined {
  const reports = reportsOf(directory, pid);
  const main = reports.find(({ threadId }) => threadId === 0);
  if (main === undefined) return undefined;
  const threads = reports.filter((report) => report !== main);
  return {
    mainHeapMb: main.resident / 1e6,
    mainHeapUsedMb: main.used / 1e6,
    threadHeapsMb: threads.reduce((sum, { resident }) => sum + resident, 0) / 1e6,
    externalMb: main.external / 1e6,
  };
}

/** Enrols one of the people at the side camera, and erases them again: galleries change under running searches. */
async function churnOf(site: Site, churn: Churn, signal: AbortSignal): Promise<void> {
  const image = (await stillOf(THREE_PEOPLE, 3, MIDDLE)).toString("base64");
  for (let turn = 0; !signal.aborted; turn += 1) {
    const id = `churn-${turn}`;
    for (const [cmd, args] of [
      ["identity/put", { id, displayName: "Churn", groups: [GROUP] }],
      ["enrolment/add-image", { id, image }],
      ["device/status", {}],
    ] as const) {
      const from = monotonicNow();
      const answer = await site.ask(cmd, args);
      churn.answersMs.push(monotonicNow() - from);
      if (!answer.ok) churn.failed += 1;
      else if (cmd === "enrolment/add-image") churn.enrolled += 1;
    }
    await pause(CHURN_MS);
    const erased = await site.ask("identity/erase", { id });
    if (erased.ok) churn.erased += 1;
    else churn.failed += 1;
  }
}

function resultOf(
  site: Site,
  watched: readonly Watched[],
  churn: Churn,
  minutes: number,
  status: Readonly<Record<string, unknown>>,
): BenchResult {
  const rows = watched.map((each): Cell[] => rowOf(each.name, each.samples, minutes));
  const main = watched.find(({ name }) => name === "main")?.samples ?? [];
  const vision = watched.find(({ name }) => name === "vision")?.samples ?? [];
  const both = main.flatMap((sample, index): Sample[] => {
    const other = vision[index];
    return other === undefined ? [] : [{ ...sample, rssMb: sample.rssMb + other.rssMb }];
  });
  const { slope, error } = growth(both, minutes);
  const outcomes = (outcome: string): number =>
    site.decisions.filter((decision) => decision.outcome === outcome).length;
  const cameras = status["cameras"] as readonly Readonly<Record<string, unknown>>[];
  const doorkeeper = status["doorkeeper"] as Readonly<Record<string, number>>;
  const sum = (field: string): number =>
    cameras.reduce((all, camera) => all + Number(camera[field] ?? 0), 0);
  return {
    tables: [
      {
        title: `Soak: ${minutes} minutes, two cameras at 720p and 10 fps, enrol and erase every ${CHURN_MS / 1000} s`,
        columns: [
          "process",
          "RSS MB first",
          "RSS MB last",
          "peak MB",
          "MB/h",
          "± (2 s.e.)",
          "fds first",
          "fds last",
          "CPU %",
        ],
        rows,
        notes: [
          "first, last: medians of the first and the last tenth after warm-up",
          `slope: least squares over the least resident set of every ${FLOOR_MS / 60_000} minutes after the first ${warmUpMinutes(minutes)}`,
        ],
      },
      {
        title: "What happened meanwhile",
        columns: ["what", "value"],
        rows: [
          ["decisions: grants", outcomes("grant")],
          ["decisions: denials", outcomes("deny")],
          ["refused by the verifying consumer", site.refusals.length],
          [
            "enrolled / erased / refused commands",
            `${churn.enrolled} / ${churn.erased} / ${churn.failed}`,
          ],
          ["command answer over MQTT, p50 ms", median(churn.answersMs)],
          ["command answer over MQTT, p95 ms", percentile(churn.answersMs, 0.95)],
          ["command answer over MQTT, max ms", percentile(churn.answersMs, 1)],
          ["frames per second, both cameras", sum("fps")],
          ["decoder restarts", sum("reconnects")],
          ["vision restarts", Number((status["vision"] as { readonly restarts: number }).restarts)],
          ["observations dropped before the search", doorkeeper["dropped"] ?? 0],
          [
            "failing health checks at the end",
            (status["failingChecks"] as readonly string[]).join(" ") || "none",
          ],
        ],
        notes: [
          "answers wait for main's event loop, and add-image for a turn of the models: they bound its lag",
        ],
      },
    ],
    budgets: [
      {
        what: "memory slope of main + vision",
        budget: `< ${SLOPE_MAX_MB_PER_HOUR} MB/h`,
        measured: `${digits(slope)} ± ${digits(2 * error)} MB/h`,
        isMet: slope < SLOPE_MAX_MB_PER_HOUR,
      },
    ],
  };
}

function rowOf(name: string, samples: readonly Sample[], minutes: number): Cell[] {
  const warm = afterWarmUp(samples, minutes);
  const tenth = Math.max(1, Math.floor(warm.length / 10));
  const of = (part: readonly Sample[], field: "rssMb" | "fds"): number =>
    median(part.map((sample) => sample[field]));
  const [first, last] = [samples[0], samples.at(-1)];
  const cpu =
    first === undefined || last === undefined
      ? Number.NaN
      : ((last.cpuSeconds - first.cpuSeconds) / ((last.atMs - first.atMs) / 1000)) * 100;
  const { slope, error } = growth(samples, minutes);
  return [
    name,
    of(warm.slice(0, tenth), "rssMb"),
    of(warm.slice(-tenth), "rssMb"),
    Math.max(...samples.map(({ peakMb }) => peakMb)),
    slope,
    2 * error,
    of(warm.slice(0, tenth), "fds"),
    of(warm.slice(-tenth), "fds"),
    cpu,
  ];
}

/** MB an hour. */
function growth(samples: readonly Sample[], minutes: number): Slope {
  const warm = afterWarmUp(samples, minutes);
  return slopeOf(
    floorsOf(
      warm.map(({ atMs, rssMb }) => [atMs / 3_600_000, rssMb] as const),
      FLOOR_MS / 3_600_000,
    ),
  );
}

const warmUpMinutes = (minutes: number): number => Math.min(WARM_UP_MINUTES, minutes / 2);

const afterWarmUp = (samples: readonly Sample[], minutes: number): readonly Sample[] =>
  samples.filter(({ atMs }) => atMs >= warmUpMinutes(minutes) * 60_000);
