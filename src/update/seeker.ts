/** Whether there is something to update to: what the director wants, and what TUF says of it. */
import type { EpochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { Envelope } from "../lib/envelope.ts";
import { Fault } from "../lib/fault.ts";
import type { DesiredState } from "../release/desired.ts";
import { type JournalEntry, next, type UpdateError, updateErrorOf } from "../release/journal.ts";
import type { JournalChange, UpdateJournal } from "../release/journal-port.ts";
import type { Runtime } from "../release/ports.ts";
import { type Packs, sha256Of } from "./packs.ts";
import {
  type Checked,
  Floors,
  type Found as FoundTarget,
  type ReleaseSource,
} from "./tuf/source.ts";
import { jobOf, Wishes } from "./wishes.ts";

export interface SeekerIdentity {
  /** `<site>/<device>` */
  readonly address: string;
  /** No honest clock is earlier. */
  readonly builtAt: EpochMs;
}

export interface SeekerDeps {
  readonly clock: Clock;
  readonly journal: UpdateJournal;
  readonly packs: Packs;
  readonly runtime: Pick<Runtime, "active">;
  readonly source: ReleaseSource;
  /** Whether a director's key that this device has pinned signed it. */
  readonly verifyDesired: (envelope: Envelope) => boolean;
  readonly clockTrusted: () => boolean;
}

/** Why nothing is done about a wish. */
export interface Problem extends UpdateError {
  readonly jobId?: string | undefined;
}

export type Found =
  /** Nothing is wanted, or nothing that is not so already. */
  | { readonly kind: "nothing" }
  | { readonly kind: "early"; readonly inMs: number }
  | { readonly kind: "satisfied" | "agreed"; readonly change: JournalChange }
  | { readonly kind: "refused"; readonly problem: Problem; readonly isTriedAgain: boolean };

/** A publisher's clock may be ahead of a trusted one by this much, ms. */
const AHEAD_MAX_MS = 24 * 3_600_000;
const OLD_COPY = ["desired_replayed", "desired_expired"];
/** What an operator stopped an operator may start again; what failed by itself only the director. */
const BY_OPERATOR = ["aborted", "requested"];

export class Seeker {
  readonly #deps: SeekerDeps;
  readonly #identity: SeekerIdentity;
  readonly #wishes: Wishes;
  #lastCheckAt: EpochMs | undefined;
  #metadataExpired = false;
  /** Packs that an operator has stopped may be tried. */
  liftsStops = false;

  constructor(identity: SeekerIdentity, deps: SeekerDeps) {
    this.#identity = identity;
    this.#deps = deps;
    this.#wishes = new Wishes(identity, { journal: deps.journal, verify: deps.verifyDesired });
  }

  /** When the repository was asked last. */
  get lastCheckAt(): EpochMs | undefined {
    return this.#lastCheckAt;
  }

  /** Genuine metadata that is past its date: an alarm, and no update. */
  get metadataExpired(): boolean {
    return this.#metadataExpired;
  }

  /** Time by which dates are judged: a clock that was set back revives nothing. */
  readonly now = (): EpochMs => {
    const { clock, journal } = this.#deps;
    const { builtAt } = this.#identity;
    return Math.max(clock.epochMs(), journal.floors().timeMs, builtAt) as EpochMs;
  };

  /** @returns why the document moves nothing */
  hear(text: string): Problem | undefined {
    return this.#wishes.hear(text, this.now());
  }

  /** Asks the repository for a desired state. @returns why it moves nothing. @throws when `signal` aborts */
  async look(signal: AbortSignal): Promise<Problem | undefined> {
    const { source, clock } = this.#deps;
    try {
      const text = await source.fetchDesired(this.#identity.address, signal);
      this.#lastCheckAt = clock.epochMs();
      const problem = text === undefined ? undefined : this.hear(text);
      // A stick or a mirror may lag behind the broker.
      const isOldCopy = problem !== undefined && OLD_COPY.includes(problem.code);
      return isOldCopy && this.wants() !== undefined ? undefined : problem;
    } catch (thrown) {
      signal.throwIfAborted();
      return updateErrorOf(thrown);
    }
  }

  wants(): DesiredState | undefined {
    return this.#wishes.current(this.now())?.desired;
  }

  /** @param entry at rest. @throws when `signal` aborts, and Faults of the store */
  async find(entry: JournalEntry, signal: AbortSignal): Promise<Found> {
    const { runtime, clock } = this.#deps;
    const now = this.now();
    const wish = this.#wishes.current(now);
    if (wish === undefined) return { kind: "nothing" };
    const { desired, fromMs } = wish;
    if (fromMs !== undefined) return { kind: "early", inMs: fromMs - now };
    if (desired.pack.sha256 === runtime.active().sha256) {
      const isKnown = entry.state === "committed" && entry.job?.jobId === desired.jobId;
      if (isKnown) return { kind: "nothing" };
      const event = { kind: "satisfied", job: jobOf(desired) } as const;
      return { kind: "satisfied", change: { entry: next(entry, event, clock.epochMs()) } };
    }
    return this.#refused(entry, desired) ?? (await this.#check(entry, desired, now, signal));
  }

  /** What this device itself has against a pack. */
  #refused(entry: JournalEntry, { pack, jobId, ...desired }: DesiredState): Found | undefined {
    const { journal, runtime } = this.#deps;
    const denied = journal.denied(pack.sha256);
    const isLifted = this.liftsStops && BY_OPERATOR.includes(denied?.code ?? "");
    if (denied !== undefined && desired.attemptEpoch <= denied.attemptEpoch && !isLifted) {
      // The entry says all of it.
      if (entry.candidate?.sha256 === pack.sha256) return { kind: "nothing" };
      return refused(
        new Fault(
          "denied",
          `pack ${pack.id} was given up here (${denied.code}): publish it with a higher attemptEpoch than ${denied.attemptEpoch}`,
        ),
        jobId,
      );
    }
    const floor = Math.max(journal.floors().release, runtime.active().pack.releaseCounter);
    const { allowRollbackTo } = desired;
    const isAllowed = allowRollbackTo !== undefined && pack.releaseCounter >= allowRollbackTo;
    if (pack.releaseCounter >= floor || isAllowed) return undefined;
    return refused(
      new Fault(
        "below_floor",
        `pack ${pack.id} has release ${pack.releaseCounter}, this device has had ${floor}: publish it with allowRollbackTo`,
      ),
      jobId,
    );
  }

  async #check(
    entry: JournalEntry,
    desired: DesiredState,
    now: EpochMs,
    signal: AbortSignal,
  ): Promise<Found> {
    const { source, journal, packs, clock } = this.#deps;
    const checked = await source.check(desired.pack, floorsOf(journal), now, signal);
    this.#lastCheckAt = clock.epochMs();
    this.#keep(checked);
    const { outcome } = checked;
    this.#metadataExpired = outcome.kind === "refused" && outcome.isExpired;
    if (outcome.kind === "refused") return refused(outcome.fault, desired.jobId);
    await packs.begin(manifestOf(outcome, desired));
    const { packId, releaseCounter, spaceId } = outcome.target;
    const { sha256 } = desired.pack;
    const candidate = { id: packId, sha256, releaseCounter, spaceId };
    const event = { kind: "agreed", job: jobOf(desired), candidate } as const;
    return {
      kind: "agreed",
      change: { entry: next(entry, event, clock.epochMs()), allow: sha256 },
    };
  }

  /** What was verified is never gone below again, whatever becomes of the rest. */
  #keep({ floors, issuedAt }: Checked): void {
    const { journal, clock, clockTrusted } = this.#deps;
    const isTrusted = clockTrusted();
    // A thief of the online key must not move this device into a time when everything has expired.
    const isCredible = !isTrusted || (issuedAt ?? 0) <= clock.epochMs() + AHEAD_MAX_MS;
    const seen = [
      isCredible ? issuedAt : undefined,
      isTrusted ? clock.epochMs() : undefined,
    ].filter((at): at is EpochMs => at !== undefined);
    journal.change(
      {
        ...(floors === undefined ? {} : { metadata: floors }),
        ...(seen.length === 0 ? {} : { timeMs: Math.max(...seen) as EpochMs }),
      },
      clock.epochMs(),
    );
  }
}

/** Versions of metadata that were verified. @throws when the row is none: versions are not guessed */
export function floorsOf(journal: UpdateJournal): Floors | undefined {
  const { metadata } = journal.floors();
  return metadata === undefined ? undefined : Floors.parse(metadata);
}

/** Both authorities must mean the same bytes. @throws Fault `target_disagrees` */
function manifestOf({ packJson, target }: FoundTarget, { pack }: DesiredState): Uint8Array {
  const isSame =
    sha256Of(packJson) === pack.sha256 &&
    target.packId === pack.id &&
    target.releaseCounter === pack.releaseCounter;
  if (isSame) return packJson;
  throw new Fault(
    "target_disagrees",
    `the repository's pack ${target.packId} is not the one that the director wants: publish it again`,
  );
}

function refused(fault: Fault, jobId: string): Found {
  const problem = { ...updateErrorOf(fault), jobId };
  return { kind: "refused", problem, isTriedAgain: fault.retry !== "never" };
}
