/** What the device says of its updates: numbered, and not more often than anybody can read. */
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { isInFlight, type JournalEntry } from "../release/journal.ts";
import type { UpdateJournal } from "../release/journal-port.ts";
import type { Runtime } from "../release/ports.ts";
import type { UpdateReport } from "../release/report.ts";
import type { Deferral } from "../release/state.ts";
import { nameOf, type Packs } from "./packs.ts";
import type { Problem, Seeker } from "./seeker.ts";

/** Everything of a report but number and time. */
export type ReportBody = Omit<UpdateReport, "schema" | "kind" | "device" | "seq" | "at">;

/** For whoever asks on this machine: more than a report, which everybody on the broker may read. */
export interface UpdateStatus extends ReportBody {
  readonly previous: JournalEntry["previous"] | null;
  readonly factory: JournalEntry["previous"];
  readonly releaseFloor: number;
  readonly lastCheckAt: string | null;
  /** Enrolled people whom the candidate's space does not know. */
  readonly missing: readonly string[];
}

export interface ReporterDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: UpdateJournal;
  readonly packs: Pick<Packs, "factory">;
  readonly runtime: Pick<Runtime, "active" | "coverage">;
  readonly seeker: Pick<Seeker, "lastCheckAt" | "metadataExpired">;
  /** Signs and publishes. */
  readonly publish: (report: UpdateReport) => void;
}

/** Between two reports that differ in progress alone. */
const PROGRESS_EVERY_MS = 2000;
const MISSING_LISTED_MAX = 1000;

export class Reporter {
  readonly #device: string;
  readonly #deps: ReporterDeps;
  #problem: Problem | undefined;
  #lastText = "";
  #lastSaid = "";
  #lastAtMs = Number.NEGATIVE_INFINITY;
  /** What is true beside the journal, and gone with the process. */
  deferred: Deferral | undefined;
  /** Of the step that is under way, 0 to 1. */
  progress: number | undefined;

  /** @param device `<site>/<device>` */
  constructor(device: string, deps: ReporterDeps) {
    this.#device = device;
    this.#deps = deps;
  }

  /** Why a wish is not followed, or why a step is tried again; undefined when all is well. */
  set problem(problem: Problem | undefined) {
    if (problem !== undefined && this.#problem?.code !== problem.code)
      this.#deps.log.warn({ code: problem.code }, `no update: ${problem.message}`);
    this.#problem = problem;
  }

  /** Says it when it is news. @throws Fault of the store, which numbers reports */
  report(): void {
    const { clock, journal, publish } = this.#deps;
    const body = this.#body(journal.entry());
    const { progress, ...said } = body;
    const [text, without] = [JSON.stringify(body), JSON.stringify(said)];
    if (text === this.#lastText) return;
    const isProgress = without === this.#lastSaid && progress !== undefined && progress < 1;
    if (isProgress && clock.monotonicMs() - this.#lastAtMs < PROGRESS_EVERY_MS) return;
    this.#lastText = text;
    this.#lastSaid = without;
    this.#lastAtMs = clock.monotonicMs();
    const at = new Date(clock.epochMs()).toISOString();
    const seq = journal.nextReportSeq();
    publish({ schema: 1, kind: "update", device: this.#device, seq, at, ...body });
  }

  status(): UpdateStatus {
    const { journal, packs, runtime, seeker } = this.#deps;
    const entry = journal.entry();
    const { candidate, state } = entry;
    const isTried = candidate !== undefined && isInFlight(state);
    const missing = isTried ? runtime.coverage(candidate.spaceId).missing : [];
    const { lastCheckAt } = seeker;
    return {
      ...this.#body(entry),
      previous: entry.previous ?? null,
      factory: nameOf(packs.factory),
      releaseFloor: journal.floors().release,
      lastCheckAt: lastCheckAt === undefined ? null : new Date(lastCheckAt).toISOString(),
      missing: missing.slice(0, MISSING_LISTED_MAX),
    };
  }

  #body(entry: JournalEntry): ReportBody {
    const { state, job, candidate, shadow, withoutCrops } = entry;
    const problem = this.#problem;
    const error = entry.error ?? problem;
    const jobId = problem?.jobId ?? job?.jobId;
    const { deferred, progress } = this;
    return {
      state,
      active: nameOf(this.#deps.runtime.active()),
      ...(jobId === undefined ? {} : { jobId }),
      ...(job === undefined ? {} : { ring: job.ring }),
      ...(candidate === undefined ? {} : { candidate }),
      ...(deferred === undefined ? {} : { deferred }),
      ...(progress === undefined || !isInFlight(state)
        ? {}
        : { progress: Math.min(1, Math.max(0, progress)) }),
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      ...(shadow === undefined ? {} : { shadow }),
      ...(withoutCrops === undefined ? {} : { withoutCrops }),
      ...(this.#deps.seeker.metadataExpired ? { metadataExpired: true } : {}),
    };
  }
}
