/** What a soak says: does it grow, what of it, and what happened meanwhile. */
import { type BenchResult, type Cell, digits, type Table } from "./bench.ts";
import type { Parts } from "./mappings.ts";
import type { Usage } from "./site.ts";
import { median, mediansOf, percentile, type Slope, slopeOf } from "./stats.ts";

export const CHURN_MS = 5000;
/**
 * Caches fill, heaps find their size, and V8 compiles what runs every few seconds only after many minutes:
 * heap snapshots five minutes apart differ in compiled code and its feedback alone. At most half of a soak.
 */
const WARM_UP_MINUTES = 45;
/** Growth that ends shows a smaller slope the later one looks. */
const LATER_MINUTES = [10, 20, 30, 45, 60];
/**
 * A resident set rises and falls with the collectors by some MB within minutes: a window holds three of main's
 * own collections (`src/system/memory.ts`), so that its median does not move with when they fall.
 */
const WINDOW_MS = 360_000;
/** In a short soak windows are smaller. */
const WINDOWS_MIN = 5;
const SLOPE_MAX_MB_PER_HOUR = 1;

/** Main's own threads, as they say; absent for the others. */
export interface OwnWords {
  readonly mainHeapMb: number;
  readonly mainHeapUsedMb: number;
  readonly threadHeapsMb: number;
  readonly externalMb: number;
}
export interface Sample extends Usage, Partial<OwnWords> {
  /** Since the start of the soak. */
  readonly atMs: number;
  readonly parts: Parts;
}
interface Watched {
  readonly name: string;
  readonly samples: readonly Sample[];
}
export interface Churn {
  enrolled: number;
  erased: number;
  failed: number;
  readonly answersMs: number[];
}
export interface Soak {
  readonly minutes: number;
  readonly watched: readonly Watched[];
  readonly churn: Churn;
  readonly grants: number;
  readonly denials: number;
  /** Decisions that the verifying consumer did not believe. */
  readonly refusals: number;
  /** `device/status` at the end. */
  readonly status: Readonly<Record<string, unknown>>;
}

type Measure = (sample: Sample) => number;
const rss: Measure = ({ rssMb }) => rssMb;

export function soakResult(soak: Soak): BenchResult {
  const { slope, error } = growth(together(soak), rss, warmUpMinutes(soak.minutes));
  return {
    tables: [processes(soak), parts(soak), later(soak), meanwhile(soak)],
    budgets: [
      {
        what: `memory slope of main + vision after ${warmUpMinutes(soak.minutes)} minutes`,
        budget: `< ${SLOPE_MAX_MB_PER_HOUR} MB/h`,
        measured: `${digits(slope)} ± ${digits(2 * error)} MB/h`,
        isMet: slope < SLOPE_MAX_MB_PER_HOUR,
      },
    ],
  };
}

function processes({ watched, minutes }: Soak): Table {
  const warmUp = warmUpMinutes(minutes);
  return {
    title: `Soak: ${minutes} minutes, two cameras at 720p and 10 fps, enrol and erase every ${CHURN_MS / 1000} s`,
    columns: [
      ...["process", "RSS MB first", "RSS MB last", "peak MB", "MB/h", "± (2 s.e.)"],
      ...["fds first", "fds last", "CPU %"],
    ],
    rows: watched.map(({ name, samples }): Cell[] => [
      name,
      ...ends(samples, rss, warmUp),
      Math.max(...samples.map(({ peakMb }) => peakMb)),
      ...slopeCells(samples, rss, warmUp),
      ...ends(samples, ({ fds }) => fds, warmUp),
      cpuShare(samples),
    ]),
    notes: [
      "first, last: medians of the first and the last tenth after warm-up",
      `slope: least squares over the medians of every ${digits(windowMs(minutes - warmUp) / 60_000)} minutes after the first ${warmUp}`,
    ],
  };
}

/** Of main and vision. */
function parts({ watched, minutes }: Soak): Table {
  const warmUp = warmUpMinutes(minutes);
  const measures: readonly (readonly [string, Measure, "own"?])[] = [
    ["C library, first heap", (sample) => sample.parts.heap],
    ["C library, heaps of threads", (sample) => sample.parts.arenas],
    ["other memory of no file", (sample) => sample.parts.anonymous],
    ["files", (sample) => sample.parts.file + sample.parts.fileWritten],
    ["· V8's heap of the main thread", (sample) => sample.mainHeapMb ?? Number.NaN, "own"],
    ["· living or garbage in it", (sample) => sample.mainHeapUsedMb ?? Number.NaN, "own"],
    ["· V8's heaps of other threads", (sample) => sample.threadHeapsMb ?? Number.NaN, "own"],
    ["buffers and the like, as V8 counts", (sample) => sample.externalMb ?? Number.NaN, "own"],
  ];
  return {
    title: "What the resident set is made of",
    columns: ["process", "part", "MB first", "MB last", "MB/h", "± (2 s.e.)"],
    rows: watched
      .filter(({ name }) => name === "main" || name === "vision")
      .flatMap(({ name, samples }) =>
        measures
          .filter(([, , from]) => from !== "own" || samples[0]?.mainHeapMb !== undefined)
          .map(([what, measure]): Cell[] => [
            name,
            what,
            ...ends(samples, measure, warmUp),
            ...slopeCells(samples, measure, warmUp),
          ]),
      ),
    notes: [
      "from /proc/PID/smaps; · and the last: what main's threads say of themselves (test/bench/self-report.ts)",
      "first, last, slope: as above",
    ],
  };
}

function later(soak: Soak): Table {
  const of = (name: string) => soak.watched.find((each) => each.name === name)?.samples ?? [];
  const warmUp = warmUpMinutes(soak.minutes);
  const starts = [...new Set([warmUp, ...LATER_MINUTES])]
    .filter((start) => start === warmUp || start + 10 <= soak.minutes)
    .toSorted((a, b) => a - b);
  return {
    title: "Slope by what counts as warm-up",
    columns: ["minutes left out", "main MB/h", "±", "vision MB/h", "±", "both MB/h", "±"],
    rows: starts.map((start): Cell[] => [
      start,
      ...slopeCells(of("main"), rss, start),
      ...slopeCells(of("vision"), rss, start),
      ...slopeCells(together(soak), rss, start),
    ]),
    notes: ["±: two standard errors; the shorter what is left, the larger"],
  };
}

function meanwhile({ churn, grants, denials, refusals, status }: Soak): Table {
  const cameras = status["cameras"] as readonly Readonly<Record<string, unknown>>[];
  const doorkeeper = status["doorkeeper"] as Readonly<Record<string, number>>;
  const sum = (field: string): number =>
    cameras.reduce((all, camera) => all + Number(camera[field] ?? 0), 0);
  return {
    title: "What happened meanwhile",
    columns: ["what", "value"],
    rows: [
      ["decisions: grants", grants],
      ["decisions: denials", denials],
      ["refused by the verifying consumer", refusals],
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
  };
}

/** Main and vision as one process. */
function together({ watched }: Soak): readonly Sample[] {
  const vision = watched.find(({ name }) => name === "vision")?.samples ?? [];
  return (watched.find(({ name }) => name === "main")?.samples ?? []).flatMap((sample, index) => {
    const other = vision[index];
    return other === undefined ? [] : [{ ...sample, rssMb: sample.rssMb + other.rssMb }];
  });
}

/** @returns the medians of the first and the last tenth */
function ends(samples: readonly Sample[], measure: Measure, warmUp: number): [number, number] {
  const warm = after(samples, warmUp).map(measure);
  const tenth = Math.max(1, Math.floor(warm.length / 10));
  return [median(warm.slice(0, tenth)), median(warm.slice(-tenth))];
}

function slopeCells(samples: readonly Sample[], measure: Measure, from: number): [number, number] {
  const { slope, error } = growth(samples, measure, from);
  return [slope, 2 * error];
}

/** MB an hour, from so many minutes on. */
function growth(samples: readonly Sample[], measure: Measure, from: number): Slope {
  const points = after(samples, from).map((sample) => [sample.atMs, measure(sample)] as const);
  const minutes = ((points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0)) / 60_000;
  const medians = mediansOf(points, windowMs(minutes));
  return slopeOf(medians.map(([atMs, mb]) => [atMs / 3_600_000, mb] as const));
}

const windowMs = (minutes: number): number => Math.min(WINDOW_MS, (minutes * 60_000) / WINDOWS_MIN);

function cpuShare(samples: readonly Sample[]): number {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return Number.NaN;
  return ((last.cpuSeconds - first.cpuSeconds) / ((last.atMs - first.atMs) / 1000)) * 100;
}

const warmUpMinutes = (minutes: number): number => Math.min(WARM_UP_MINUTES, minutes / 2);

const after = (samples: readonly Sample[], minutes: number): readonly Sample[] =>
  samples.filter(({ atMs }) => atMs >= minutes * 60_000);
