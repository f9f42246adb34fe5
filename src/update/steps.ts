/** One step of an update: what is done in each state before the next one is journalled. */
import type { EpochMs, SpaceId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { type JournalEntry, next, type UpdateEvent } from "../release/journal.ts";
import type { JournalChange, UpdateJournal } from "../release/journal-port.ts";
import type { Candidate, PackOnDisk, Runtime } from "../release/ports.ts";
import { probationVerdict } from "../release/probation.ts";
import type { ShadowStats } from "../release/report.ts";
import type { Deferral, PackName } from "../release/state.ts";
import type { UpdateOptions } from "./options.ts";
import type { Packs } from "./packs.ts";
import { floorsOf } from "./seeker.ts";
import type { ReleaseSource } from "./tuf/source.ts";

export interface StepsDeps {
  readonly clock: Clock;
  readonly journal: UpdateJournal;
  readonly packs: Packs;
  readonly runtime: Runtime;
  readonly source: ReleaseSource;
  /** °C; undefined where nothing measures it. */
  readonly temperatureC: () => Promise<number | undefined>;
  /** Time by which dates are judged: not before the floor. */
  readonly now: () => EpochMs;
  /** How far the step is, 0 to 1. */
  readonly onProgress: (progress: number) => void;
}

/** What became of a step. */
export type Stepped =
  | { readonly kind: "on"; readonly change: JournalChange }
  | { readonly kind: "deferred"; readonly why: Deferral }
  | { readonly kind: "again"; readonly afterMs: number };

type InFlightEntry = JournalEntry & {
  readonly candidate: PackName;
  readonly job: NonNullable<JournalEntry["job"]>;
};

/** A pack is there twice while it is staged, and the gallery of its space comes on top. */
const SPACE_FACTOR = 2;
const DISK_RESERVE_BYTES = 32 * 1024 * 1024;
/** Losing what was journalled here only means that rows which are there are passed over. */
const CURSOR_EVERY_MS = 5000;
const PROBATION_EVERY_MS = 1000;

export class Steps implements AsyncDisposable {
  readonly #options: UpdateOptions;
  readonly #deps: StepsDeps;
  #candidate: { readonly sha256: string; readonly process: Candidate } | undefined;
  /** Of a shadow run that has passed and waits for a quiet moment. */
  #shadowed: ShadowStats | undefined;
  /** Nobody waits for a better moment: an operator has said so. */
  isForced = false;

  constructor(options: UpdateOptions, deps: StepsDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * @param entry in flight
   * @throws Fault; with `retry: "never"` the candidate has failed
   */
  async step(entry: JournalEntry, signal: AbortSignal): Promise<Stepped> {
    try {
      return await this.#step(entry as InFlightEntry, signal);
    } catch (thrown) {
      // Whatever it was: the next try has a process of its own.
      await this.release();
      throw thrown;
    }
  }

  /**
   * Has the pack of the journal serve again, else the factory pack. Offline: everything is on this disk.
   *
   * @throws Fault when neither can serve: it is tried again
   */
  async rollBack(entry: JournalEntry, signal: AbortSignal): Promise<void> {
    const { packs, runtime } = this.#deps;
    await this.release();
    await packs.point(entry.active, entry.previous);
    const wanted = (await packs.load(entry.active)) ?? packs.factory;
    if (runtime.active().sha256 === wanted.sha256) return;
    try {
      await runtime.switchTo(wanted, signal);
    } catch (thrown) {
      if (wanted === packs.factory || signal.aborted) throw thrown;
      await runtime.switchTo(packs.factory, signal);
    }
  }

  /** Removes what no pack of this device needs any more: files, and templates of their spaces. */
  async tidy(entry: JournalEntry): Promise<void> {
    const { packs, runtime } = this.#deps;
    await packs.prune([entry.active, entry.previous]);
    const kept = [entry.active?.spaceId, entry.previous?.spaceId].filter(
      (spaceId): spaceId is SpaceId => spaceId !== undefined,
    );
    runtime.retainSpaces([packs.factory.pack.embedder.spaceId, ...kept]);
  }

  /** Ends the candidate's process. */
  async release(): Promise<void> {
    const open = this.#candidate;
    this.#candidate = undefined;
    this.#shadowed = undefined;
    await open?.process[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async #step(update: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    switch (update.state) {
      case "checked":
        return this.#begin(update);
      case "downloading":
        return this.#download(update, signal);
      case "verified":
        await this.#deps.packs.stage(update.candidate.sha256);
        return this.#on(update, { kind: "staged" });
      case "staged":
        return this.#selfTest(update, signal);
      case "self-tested":
        return (
          (await this.#deferral(["thermal", "load"])) ?? this.#on(update, { kind: "reembedding" })
        );
      case "re-embedding":
        return this.#reembed(update, signal);
      case "shadow":
        return this.#shadow(update, signal);
      case "activating":
        return this.#activate(update, signal);
      case "probation":
        return this.#watch(update);
      default:
        throw new Fault("update_illegal", `no update is under way in ${update.state}: report this`);
    }
  }

  #on(entry: JournalEntry, event: UpdateEvent, more: JournalChange = {}): Stepped {
    return {
      kind: "on",
      change: { ...more, entry: next(entry, event, this.#deps.clock.epochMs()) },
    };
  }

  async #begin(entry: InFlightEntry): Promise<Stepped> {
    const { packs } = this.#deps;
    const hot = await this.#deferral(["thermal"]);
    if (hot !== undefined) return hot;
    const pack = packs.fetching(entry.candidate.sha256);
    const bytes = pack?.files.reduce((sum, file) => sum + file.bytes, 0) ?? 0;
    if ((await packs.freeBytes()) < SPACE_FACTOR * bytes + DISK_RESERVE_BYTES)
      return { kind: "deferred", why: "low_disk" };
    return this.#on(entry, { kind: "fetching" });
  }

  async #download(entry: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    const { packs, source, onProgress } = this.#deps;
    const { sha256 } = entry.candidate;
    if (await packs.isStaged(sha256)) return this.#on(entry, { kind: "fetched" });
    const pack = packs.fetching(sha256) ?? (await this.#manifest(entry, signal));
    const missing = await packs.missing(sha256, pack);
    const total = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    let received = 0;
    for (const { into, ...blob } of missing) {
      const before = received;
      await source.fetchBlob(
        blob,
        into,
        (bytes) => onProgress(total === 0 ? 1 : (before + bytes) / total),
        signal,
      );
      received = before + blob.bytes;
    }
    // Read back from the disk: these are the bytes that will be staged.
    if ((await packs.missing(sha256, pack)).length === 0)
      return this.#on(entry, { kind: "fetched" });
    throw new Fault("pack_damaged", "a fetched file changed on the disk; it is fetched again", {
      retry: "later",
    });
  }

  /** The manifest that was fetched with the check has been lost: once more, from the authorities. */
  async #manifest({ candidate }: InFlightEntry, signal: AbortSignal) {
    const { packs, source, journal, clock } = this.#deps;
    const { id, sha256, releaseCounter } = candidate;
    const wanted = { id, sha256, releaseCounter };
    const checked = await source.check(wanted, floorsOf(journal), this.#deps.now(), signal);
    if (checked.floors !== undefined) journal.change({ metadata: checked.floors }, clock.epochMs());
    if (checked.outcome.kind === "refused") throw checked.outcome.fault;
    await packs.begin(checked.outcome.packJson);
    const pack = packs.fetching(sha256);
    if (pack !== undefined) return pack;
    throw new Fault("pack_damaged", "the manifest cannot be kept; it is fetched again", {
      retry: "later",
    });
  }

  async #selfTest(entry: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    const waits = await this.#deferral(["thermal", "load"]);
    if (waits !== undefined) return waits;
    await this.#opened(entry, signal);
    return this.#on(entry, { kind: "tested" });
  }

  async #reembed(entry: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    await this.#fill(entry, signal);
    return this.#covered(entry, (withoutCrops) =>
      this.#on(entry, { kind: "reembedded", withoutCrops }),
    );
  }

  /** Has the candidate's space know everybody whom it can; what is there is passed over. */
  async #fill(entry: InFlightEntry, signal: AbortSignal): Promise<void> {
    const { runtime, journal, clock, onProgress } = this.#deps;
    const { spaceId } = entry.candidate;
    if (spaceId === runtime.active().pack.embedder.spaceId) return;
    if (runtime.coverage(spaceId).missing.length === 0) return;
    const candidate = await this.#opened(entry, signal);
    let keptAtMs = clock.monotonicMs();
    const onIdentity = (cursor: string, done: number, total: number): void => {
      onProgress(total === 0 ? 1 : done / total);
      if (clock.monotonicMs() - keptAtMs < CURSOR_EVERY_MS) return;
      keptAtMs = clock.monotonicMs();
      const now = clock.epochMs();
      if (entry.state !== "re-embedding") return;
      journal.change({ entry: next(journal.entry(), { kind: "reembedded-to", cursor }, now) }, now);
    };
    await candidate.reembed(entry.cursor, onIdentity, signal);
  }

  /** By the site's policy for people whom the new space does not know. */
  async #covered(
    entry: InFlightEntry,
    goOn: (missing: number) => Stepped | Promise<Stepped>,
  ): Promise<Stepped> {
    const { runtime } = this.#deps;
    const { spaceId } = entry.candidate;
    const missing = runtime.coverage(spaceId).missing.length;
    if (missing === 0 || this.#options.withoutCrops === "re-enrol") return goOn(missing);
    if (this.#options.withoutCrops === "refuse")
      throw new Fault(
        "no_crops",
        `${missing} enrolled people keep no picture that ${entry.candidate.id} can read: enrol them again with crops kept, or set update.withoutCrops`,
      );
    // It may take weeks until they have come by: the candidate's memory is free meanwhile.
    await this.release();
    return { kind: "deferred", why: "no_crops" };
  }

  async #shadow(entry: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    const { onProgress, runtime } = this.#deps;
    if (this.#shadowed === undefined) {
      const candidate = await this.#opened(entry, signal);
      const { framesMin } = this.#options.shadow;
      const onStats = ({ frames }: ShadowStats): void =>
        onProgress(Math.min(0.99, frames / framesMin));
      this.#shadowed = await candidate.shadow(onStats, signal);
    }
    const stats = this.#shadowed;
    // Who was enrolled meanwhile.
    await this.#fill(entry, signal);
    return this.#covered(entry, async () => {
      const busy = runtime.deferral();
      if (busy !== undefined && !this.isForced) return { kind: "deferred", why: busy };
      // Two sets of models must be enough for the machine: the candidate's makes room for the serving one.
      await this.release();
      return this.#on(entry, { kind: "shadowed", stats });
    });
  }

  async #activate(entry: InFlightEntry, signal: AbortSignal): Promise<Stepped> {
    const { packs, runtime } = this.#deps;
    const pack = await this.#staged(entry);
    await packs.point(entry.candidate, entry.active);
    if (runtime.active().sha256 !== pack.sha256) await runtime.switchTo(pack, signal);
    return this.#on(entry, { kind: "switched" });
  }

  async #watch(entry: InFlightEntry): Promise<Stepped> {
    const { runtime, onProgress } = this.#deps;
    // A start that could not write its journal serves the pack before: what it does proves nothing.
    if (runtime.active().sha256 !== entry.candidate.sha256)
      throw new Fault("not_serving", "another pack serves than the one on probation");
    const sample = runtime.probation();
    const verdict = probationVerdict(sample, this.#options.probation);
    if (verdict.kind === "failed") throw new Fault(verdict.code, verdict.message);
    if (verdict.kind === "passed")
      return this.#on(entry, { kind: "passed" }, { release: releaseOf(entry) });
    const { durationMs } = this.#options.probation;
    onProgress(durationMs === 0 ? 1 : sample.elapsedMs / durationMs);
    return { kind: "again", afterMs: PROBATION_EVERY_MS };
  }

  /** Open and self-tested: also one that is opened again after a crash has to show it. */
  async #opened(entry: InFlightEntry, signal: AbortSignal): Promise<Candidate> {
    const known = this.#candidate;
    if (known?.sha256 === entry.candidate.sha256) return known.process;
    await this.release();
    const pack = await this.#staged(entry);
    const candidate = await this.#deps.runtime.openCandidate(pack, signal);
    this.#candidate = { sha256: pack.sha256, process: candidate };
    try {
      await candidate.selfTest(signal);
      return candidate;
    } catch (thrown) {
      await this.release();
      throw thrown;
    }
  }

  async #staged({ candidate }: InFlightEntry): Promise<PackOnDisk> {
    const pack = await this.#deps.packs.load(candidate);
    if (pack !== undefined) return pack;
    throw new Fault(
      "pack_damaged",
      `pack ${candidate.id} has changed on the disk since it was staged: check the disk`,
    );
  }

  async #deferral(
    kinds: readonly Deferral[],
  ): Promise<Extract<Stepped, { readonly kind: "deferred" }> | undefined> {
    if (this.isForced) return undefined;
    const celsius = kinds.includes("thermal") ? await this.#deps.temperatureC() : undefined;
    if (celsius !== undefined && celsius > this.#options.temperatureMaxC)
      return { kind: "deferred", why: "thermal" };
    const why = this.#deps.runtime.deferral();
    return why !== undefined && kinds.includes(why) ? { kind: "deferred", why } : undefined;
  }
}

/** A pack that is kept is the floor from then on, also when the director has let it go lower. */
function releaseOf({ candidate, job }: InFlightEntry): NonNullable<JournalChange["release"]> {
  const counter = candidate.releaseCounter;
  const lowered = job.allowRollbackTo !== undefined && counter >= job.allowRollbackTo;
  return lowered ? { counter, lowered } : { counter };
}
