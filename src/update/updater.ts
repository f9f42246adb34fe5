/**
 * Walks an update through its states: one step, one journal entry, the next step. Whatever fails leaves
 * the pack that served before serving. One loop acts; documents and commands only tell it what for.
 */
import { backoffMs } from "../lib/backoff.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import {
  isAtRest,
  isInFlight,
  type JournalEntry,
  next,
  type UpdateError,
  updateErrorOf,
} from "../release/journal.ts";
import type { JournalChange } from "../release/journal-port.ts";
import type { UpdateReport } from "../release/report.ts";
import type { UpdateOptions } from "./options.ts";
import { Reporter, type UpdateStatus } from "./reporter.ts";
import { Seeker, type SeekerDeps, type SeekerIdentity } from "./seeker.ts";
import { Steps, type StepsDeps } from "./steps.ts";

export interface UpdaterDeps
  extends Omit<SeekerDeps, "runtime">,
    Omit<StepsDeps, "now" | "onProgress"> {
  readonly log: Log;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Signs and publishes. */
  readonly publish: (report: UpdateReport) => void;
}

const RETRY = { firstMs: 5000, maxMs: 15 * 60_000 };
/** A process that ends again and again while it is tried is a bad candidate, whatever it says. */
const CANDIDATE_RETRIES_MAX = 4;
const DEFERRED_MS = 30_000;
/** Until people have come by: a look costs a process, and 'update/check' asks for one at once. */
const NO_CROPS_MS = 10 * 60_000;
/** The old pack must be back: nothing else is done before. */
const ROLL_BACK_RETRY_MS = 2000;
/** These say nothing against the pack: it may come again with the same document. */
const NOT_DENIED = ["superseded", "pack_damaged"];
/** A candidate that has run beside the serving pack for this long was not what ended the machine. */
const LASTED_MS = 10 * 60_000;
const ASKED = Number.NEGATIVE_INFINITY;

export class Updater implements AsyncDisposable {
  readonly #options: UpdateOptions;
  readonly #deps: UpdaterDeps;
  readonly #steps: Steps;
  readonly #seeker: Seeker;
  readonly #reporter: Reporter;
  readonly #waiters = new Set<() => void>();
  /** Ends the step that is under way. */
  #step = new AbortController();
  /** Ends the rest between two rounds. */
  #wake = new AbortController();
  /** Why the update that is under way must end. */
  #ending: UpdateError | undefined;
  #isGoingBack = false;
  /** Monotonic. */
  #checkDueMs: number = ASKED;
  #hasLookFailed = false;
  #retries = 0;

  constructor(identity: SeekerIdentity, options: UpdateOptions, deps: UpdaterDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#seeker = new Seeker(identity, deps);
    this.#reporter = new Reporter(identity.address, { ...deps, seeker: this.#seeker });
    const onProgress = (progress: number): void => {
      this.#reporter.progress = progress;
      this.#guarded(() => this.#reporter.report());
    };
    this.#steps = new Steps(options, { ...deps, now: this.#seeker.now, onProgress });
  }

  /** Until `signal` aborts. Never rejects: an update is no reason to stop a door. */
  async run(signal: AbortSignal): Promise<void> {
    const onStop = (): void => this.#step.abort();
    signal.addEventListener("abort", onStop, { once: true });
    await this.#finishTidying();
    const startedMs = this.#deps.clock.monotonicMs();
    const stopLooking = this.#deps.clock.every(LASTED_MS / 10, () => {
      if (this.#deps.clock.monotonicMs() - startedMs >= LASTED_MS)
        this.#guarded(() => this.#note("lasted"));
    });
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const restMs = await this.#round(signal);
      for (const wake of [...this.#waiters]) wake();
      if (restMs > 0)
        await this.#deps.clock.sleep(restMs, AbortSignal.any([this.#wake.signal, signal]));
    }
    stopLooking();
    signal.removeEventListener("abort", onStop);
    await this.#steps.release();
    // A boot that follows a stop in good order is held against nobody.
    this.#guarded(() => this.#note("stopped"));
    for (const wake of [...this.#waiters]) wake();
  }

  /** A document of `update/desired`, as it came. */
  hear(text: string): void {
    this.#guarded(() => {
      this.#reporter.problem = this.#seeker.hear(text);
      this.#reporter.report();
    });
    this.#endWhatNobodyWants();
    this.#wake.abort();
  }

  /** Asks the repository. @returns how things are then; while an update is under way, how they are now */
  async check(signal: AbortSignal): Promise<UpdateStatus> {
    this.#checkDueMs = ASKED;
    this.#wake.abort();
    const isUnderWay = (): boolean => !isAtRest(this.#deps.journal.entry().state);
    await this.#until(() => this.#checkDueMs !== ASKED || isUnderWay(), signal);
    return this.status();
  }

  /**
   * {@link check}, and what is found waits for no better moment. What an operator has stopped here may
   * begin again; what failed here only the director tries again.
   */
  async apply(signal: AbortSignal): Promise<UpdateStatus> {
    this.#steps.isForced = true;
    this.#seeker.liftsStops = true;
    return this.check(signal);
  }

  /** Ends an update that is under way. @returns undefined when there is none */
  async abort(signal: AbortSignal): Promise<UpdateStatus | undefined> {
    const { journal } = this.#deps;
    if (isAtRest(journal.entry().state)) return undefined;
    this.#end("aborted", "an operator has ended the update");
    await this.#until(() => isAtRest(journal.entry().state), signal);
    return this.status();
  }

  /**
   * Has the pack before this one serve again; an update that is under way ends instead.
   *
   * @returns undefined when the factory pack serves: there is none before it
   */
  async rollBack(signal: AbortSignal): Promise<UpdateStatus | undefined> {
    const { journal } = this.#deps;
    const entry = journal.entry();
    if (!isAtRest(entry.state)) return this.abort(signal);
    if (entry.active === undefined) return undefined;
    this.#isGoingBack = true;
    this.#step.abort();
    this.#wake.abort();
    await this.#until(() => !this.#isGoingBack && isAtRest(journal.entry().state), signal);
    return this.status();
  }

  status(): UpdateStatus {
    return this.#reporter.status();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#step.abort();
    await this.#steps[Symbol.asyncDispose]();
  }

  /** @returns how long to rest before the next round, ms */
  async #round(stop: AbortSignal): Promise<number> {
    this.#step = new AbortController();
    try {
      const entry = this.#deps.journal.entry();
      if (entry.state === "failed") return await this.#rollBackNow(entry, stop);
      if (isInFlight(entry.state)) return await this.#advance(entry);
      if (this.#isGoingBack) return this.#goBack(entry);
      return await this.#seek(entry);
    } catch (thrown) {
      return stop.aborted ? 0 : this.#failed(thrown);
    } finally {
      this.#guarded(() => this.#reporter.report());
    }
  }

  async #advance(entry: JournalEntry): Promise<number> {
    if (this.#isGoingBack) this.#ending ??= REQUESTED;
    if (this.#ending === undefined && this.#isCheckDue()) await this.#look();
    if (this.#ending !== undefined) throw new Fault(this.#ending.code, this.#ending.message);
    const stepped = await this.#steps.step(entry, this.#step.signal);
    // Somebody may have ended it while the last of the step was done.
    if (this.#ending !== undefined) return 0;
    this.#retries = 0;
    this.#reporter.problem = undefined;
    this.#reporter.deferred = stepped.kind === "deferred" ? stepped.why : undefined;
    if (stepped.kind === "deferred") return stepped.why === "no_crops" ? NO_CROPS_MS : DEFERRED_MS;
    if (stepped.kind === "again") return stepped.afterMs;
    this.#reporter.progress = undefined;
    this.#commit(stepped.change);
    if (stepped.change.entry?.state === "committed") await this.#rested(stepped.change.entry);
    return 0;
  }

  async #seek(entry: JournalEntry): Promise<number> {
    this.#ending = undefined;
    this.#reporter.progress = undefined;
    if (this.#isCheckDue()) await this.#look();
    const found = await this.#seeker.find(entry, this.#step.signal);
    this.#reporter.deferred = found.kind === "early" ? "window" : undefined;
    if ("change" in found) {
      this.#retries = 0;
      this.#reporter.problem = undefined;
      this.#commit(found.change);
      return 0;
    }
    // What an operator asked for meanwhile is still to be done.
    if (this.#checkDueMs === ASKED) return 0;
    this.#steps.isForced = false;
    this.#seeker.liftsStops = false;
    const restMs = Math.max(1, this.#checkDueMs - this.#deps.clock.monotonicMs());
    if (found.kind === "early") return Math.min(restMs, Math.max(1, found.inMs));
    if (found.kind === "nothing") return restMs;
    this.#reporter.problem = found.problem;
    return found.isTriedAgain ? Math.min(restMs, this.#retryMs()) : restMs;
  }

  #isCheckDue(): boolean {
    return this.#deps.clock.monotonicMs() >= this.#checkDueMs;
  }

  /** The repository holds desired states too: for USB sticks, and for sites whose broker has none. */
  async #look(): Promise<void> {
    const problem = await this.#seeker.look(this.#step.signal);
    this.#checkDueMs = this.#deps.clock.monotonicMs() + this.#options.checkEveryMs;
    if (problem !== undefined || this.#hasLookFailed) this.#reporter.problem = problem;
    this.#hasLookFailed = problem !== undefined;
    this.#endWhatNobodyWants();
  }

  #goBack(entry: JournalEntry): number {
    this.#isGoingBack = false;
    if (entry.active === undefined) return 0;
    const event = { kind: "reverted", error: REQUESTED } as const;
    this.#commit({ entry: next(entry, event, this.#deps.clock.epochMs()) });
    return 0;
  }

  async #rollBackNow(entry: JournalEntry, stop: AbortSignal): Promise<number> {
    const { log, clock } = this.#deps;
    this.#ending = undefined;
    this.#reporter.deferred = undefined;
    this.#reporter.progress = undefined;
    try {
      await this.#steps.rollBack(entry, stop);
    } catch (thrown) {
      if (stop.aborted) return 0;
      log.error({ code: codeOf(thrown) }, `the old pack is not back yet: ${messageOf(thrown)}`);
      return ROLL_BACK_RETRY_MS;
    }
    const back = next(entry, { kind: "rolled-back" }, clock.epochMs());
    const { candidate, error, job } = entry;
    const isDenied =
      candidate !== undefined && error !== undefined && !NOT_DENIED.includes(error.code);
    const attemptEpoch = job?.attemptEpoch ?? 0;
    this.#commit({
      entry: back,
      ...(isDenied ? { deny: { sha256: candidate.sha256, attemptEpoch, code: error.code } } : {}),
    });
    await this.#rested(back);
    return 0;
  }

  /** Nothing is under way any more. */
  async #rested(entry: JournalEntry): Promise<void> {
    this.#steps.isForced = false;
    this.#seeker.liftsStops = false;
    this.#retries = 0;
    await this.#steps.tidy(entry).catch((thrown: unknown) => {
      // What is left over goes after the next update.
      this.#deps.log.warn({ code: codeOf(thrown) }, "old packs are not removed yet");
    });
  }

  /** An end may have come between the last entry and the tidying after it. */
  async #finishTidying(): Promise<void> {
    const entry = this.#guarded(() => this.#deps.journal.entry());
    if (entry?.state === "committed" || entry?.state === "rolled-back") await this.#rested(entry);
  }

  /** @returns how long until it is tried again; 0 when the update has ended */
  #failed(thrown: unknown): number {
    const { journal, log, clock } = this.#deps;
    const entry = this.#guarded(() => journal.entry());
    const error = this.#ending ?? updateErrorOf(thrown);
    const isOver =
      entry !== undefined &&
      isInFlight(entry.state) &&
      (this.#ending !== undefined || this.#isLost(entry, thrown));
    if (!isOver) {
      // A step that was ended for something else has not failed.
      if (this.#step.signal.aborted) return 0;
      this.#reporter.problem = { ...error, jobId: entry?.job?.jobId };
      return this.#retryMs();
    }
    log.error({ state: entry.state, code: error.code }, `the update failed: ${error.message}`);
    const failed = next(entry, { kind: "failed", error }, clock.epochMs());
    if (this.#guarded(() => this.#commit({ entry: failed })) === true) return 0;
    // Not even that can be written: it stays to be said.
    this.#ending = error;
    return this.#retryMs();
  }

  /** Whether what was thrown ends the update, or only this try. */
  #isLost({ state, job }: JournalEntry, thrown: unknown): boolean {
    if (this.#step.signal.aborted || codeOf(thrown).startsWith("store_")) return false;
    if (state === "activating" || state === "probation") return true;
    if (!(thrown instanceof Fault) || thrown.retry === "never") return true;
    const isFetching = state === "checked" || state === "downloading" || state === "verified";
    if (!isFetching) return this.#retries >= CANDIDATE_RETRIES_MAX;
    return job !== undefined && this.#seeker.now() > job.untilMs;
  }

  #retryMs(): number {
    this.#retries += 1;
    return backoffMs(this.#retries - 1, this.#deps.random(), RETRY);
  }

  #end(code: string, message: string): void {
    this.#ending = { code, message };
    this.#step.abort();
    this.#wake.abort();
  }

  /** What serves on probation is judged by how it does, and followed by what is wanted then. */
  #endWhatNobodyWants(): void {
    const entry = this.#guarded(() => this.#deps.journal.entry());
    if (entry === undefined || !isInFlight(entry.state)) return;
    if (entry.state === "activating" || entry.state === "probation") return;
    const wanted = this.#guarded(() => this.#seeker.wants());
    if (wanted !== undefined && wanted.pack.sha256 !== entry.candidate?.sha256)
      this.#end("superseded", "the director wants another pack now");
  }

  #commit(change: JournalChange): true {
    const { journal, clock, log } = this.#deps;
    journal.change(change, clock.epochMs());
    const { entry } = change;
    if (entry !== undefined) {
      const packId = (entry.candidate ?? entry.active)?.id;
      log.info({ state: entry.state, packId, jobId: entry.job?.jobId }, "update");
      this.#guarded(() => this.#reporter.report());
    }
    return true;
  }

  #note(kind: "stopped" | "lasted"): void {
    const { journal, clock } = this.#deps;
    const entry = journal.entry();
    const noted = next(entry, { kind }, clock.epochMs());
    if (noted.tries !== entry.tries) this.#commit({ entry: noted });
  }

  /** The store may be failing: the watchdog tells, and the doors are its business. */
  #guarded<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (thrown) {
      this.#deps.log.warn({ code: codeOf(thrown) }, `update: ${messageOf(thrown)}`);
      return undefined;
    }
  }

  async #until(isDone: () => boolean, signal: AbortSignal): Promise<void> {
    while (!isDone()) {
      signal.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      this.#waiters.delete(resolve);
    }
  }
}

const REQUESTED: UpdateError = {
  code: "requested",
  message: "an operator wanted the pack before it back",
};
