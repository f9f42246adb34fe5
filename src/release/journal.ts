/**
 * The journal of updates: one entry, what may follow what, and what a boot makes of it. The entry is
 * written before its state begins, so that whatever a crash leaves is one of the states, never a half.
 */
import { z } from "zod";
import type { EpochMs } from "../lib/brand.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import { DesiredState } from "./desired.ts";
import { ShadowStats } from "./report.ts";
import { PackName, UpdateStateName } from "./state.ts";

const count = z.int().nonnegative();

/** What a desired state asked for, as far as the update needs it after the document is gone. */
export const UpdateJob = z.strictObject({
  jobId: DesiredState.shape.jobId,
  ring: DesiredState.shape.ring,
  attemptEpoch: DesiredState.shape.attemptEpoch,
  /** No update begins after that. */
  untilMs: z.int(),
  /** The director's signed word that the release floor may be lowered to there. */
  allowRollbackTo: count.optional(),
});
export type UpdateJob = z.infer<typeof UpdateJob>;

export const UpdateError = z.strictObject({
  code: z.string().max(64),
  message: z.string().max(500),
});
export type UpdateError = z.infer<typeof UpdateError>;

/** Anything that was thrown, as the journal and the reports say it. */
export function updateErrorOf(thrown: unknown): UpdateError {
  return { code: codeOf(thrown).slice(0, 64), message: messageOf(thrown).slice(0, 500) };
}

/** States in which the next update may begin. */
const AT_REST = ["idle", "committed", "rolled-back"] as const satisfies readonly UpdateStateName[];
/** States in which something is under way that a failure ends. */
type InFlight = Exclude<UpdateStateName, (typeof AT_REST)[number] | "failed">;
/** States in which the candidate serves. */
const SWITCHED: readonly UpdateStateName[] = ["activating", "probation"];
/** States in which the candidate runs beside the pack that serves. */
const TRIED: readonly UpdateStateName[] = ["staged", "self-tested", "re-embedding", "shadow"];

export const JournalEntry = z
  .strictObject({
    schema: z.literal(1),
    state: UpdateStateName,
    /** When the state began. */
    sinceMs: z.int(),
    /** What serves, and serves again when the update fails. Absent: the factory pack. */
    active: PackName.optional(),
    /** What served before `active` and is kept to go back to. Absent: the factory pack. */
    previous: PackName.optional(),
    /** The newest job, also after its end: the device reports it. */
    job: UpdateJob.optional(),
    /** What is to serve; after a failure, what failed. */
    candidate: PackName.optional(),
    /** Boots that may have been this state's fault, the switch itself among them. */
    tries: count.default(0),
    /** Last identity that is in the candidate's space. */
    cursor: z.string().max(64).optional(),
    shadow: ShadowStats.optional(),
    withoutCrops: count.optional(),
    error: UpdateError.optional(),
  })
  .refine((entry) => illegalityOf(entry) === undefined, {
    error: (issue) => illegalityOf(issue.input as Draft) ?? "not a journal entry",
  });
export type JournalEntry = z.infer<typeof JournalEntry>;

interface Draft {
  readonly state: UpdateStateName;
  readonly job?: unknown;
  readonly candidate?: unknown;
  readonly error?: unknown;
}

/** @returns what contradicts itself, if anything */
function illegalityOf({ state, job, candidate, error }: Draft): string | undefined {
  const ended = state === "failed" || state === "rolled-back";
  if (isInFlight(state) && (job === undefined || candidate === undefined))
    return `${state} needs a job and a candidate`;
  if (ended && (candidate === undefined || error === undefined))
    return `${state} needs a candidate and an error`;
  if (!ended && error !== undefined) return `${state} has no error`;
  if ((state === "idle" || state === "committed") && candidate !== undefined)
    return `${state} has no candidate`;
  return undefined;
}

export function isInFlight(state: UpdateStateName): state is InFlight {
  return state !== "failed" && !isAtRest(state);
}

export function isAtRest(state: UpdateStateName): boolean {
  return AT_REST.some((each) => each === state);
}

/** Before the first update: the factory pack serves. */
export function firstEntry(now: EpochMs): JournalEntry {
  return { schema: 1, state: "idle", sinceMs: Math.floor(now), tries: 0 };
}

export type UpdateEvent =
  /** TUF and the director agree on a pack that does not serve yet. */
  | { readonly kind: "agreed"; readonly job: UpdateJob; readonly candidate: PackName }
  /** What is wanted serves already. */
  | { readonly kind: "satisfied"; readonly job: UpdateJob }
  | { readonly kind: "fetching" | "fetched" | "staged" | "tested" | "reembedding" }
  | { readonly kind: "reembedded-to"; readonly cursor: string }
  | { readonly kind: "reembedded"; readonly withoutCrops: number }
  | { readonly kind: "shadowed"; readonly stats: ShadowStats | undefined }
  | { readonly kind: "switched" | "passed" | "rolled-back" }
  | { readonly kind: "failed"; readonly error: UpdateError }
  /** Somebody wants the pack before this one back. */
  | { readonly kind: "reverted"; readonly error: UpdateError }
  /** The pack that should serve is not on disk as it was released; `to` serves. Absent: the factory pack. */
  | { readonly kind: "lost"; readonly to: PackName | undefined; readonly error: UpdateError }
  | { readonly kind: "booted" }
  /** It has lasted: earlier boots were somebody else's fault. */
  | { readonly kind: "lasted" }
  /** The daemon ends in good order: the boot that follows is nobody's fault. */
  | { readonly kind: "stopped" };

/** Straight way: from which state which event leads where. */
const STEPS: Readonly<
  Partial<Record<UpdateEvent["kind"], readonly [UpdateStateName, UpdateStateName]>>
> = {
  fetching: ["checked", "downloading"],
  fetched: ["downloading", "verified"],
  staged: ["verified", "staged"],
  tested: ["staged", "self-tested"],
  reembedding: ["self-tested", "re-embedding"],
  "reembedded-to": ["re-embedding", "re-embedding"],
  reembedded: ["re-embedding", "shadow"],
  shadowed: ["shadow", "activating"],
  switched: ["activating", "probation"],
  passed: ["probation", "committed"],
  "rolled-back": ["failed", "rolled-back"],
};

/** @throws Fault `update_illegal`: that event cannot happen in that state, which is our mistake */
export function next(entry: JournalEntry, event: UpdateEvent, now: EpochMs): JournalEntry {
  const step = STEPS[event.kind];
  if (step !== undefined && step[0] !== entry.state) throw illegal(entry, event);
  const to = (state: UpdateStateName, more: Partial<JournalEntry> = {}): JournalEntry =>
    pruned({ ...entry, state, sinceMs: Math.floor(now), tries: 0, ...more });
  switch (event.kind) {
    case "agreed":
      if (!isAtRest(entry.state)) throw illegal(entry, event);
      return to("checked", { ...CLEAN, job: event.job, candidate: event.candidate });
    case "satisfied":
      if (!isAtRest(entry.state)) throw illegal(entry, event);
      return to("committed", { ...CLEAN, job: event.job });
    case "failed":
      if (!isInFlight(entry.state)) throw illegal(entry, event);
      return to("failed", { error: event.error });
    case "reverted":
      if (!isAtRest(entry.state) || entry.active === undefined) throw illegal(entry, event);
      return to("failed", {
        ...CLEAN,
        candidate: entry.active,
        active: entry.previous,
        previous: undefined,
        error: event.error,
      });
    case "lost":
      if (entry.active === undefined) throw illegal(entry, event);
      return to("rolled-back", {
        ...CLEAN,
        candidate: entry.active,
        active: event.to,
        previous: undefined,
        error: event.error,
      });
    case "booted":
      return isInFlight(entry.state) ? { ...entry, tries: entry.tries + 1 } : entry;
    case "lasted":
      return TRIED.includes(entry.state) ? { ...entry, tries: 0 } : entry;
    case "stopped":
      return isInFlight(entry.state) ? { ...entry, tries: Math.max(0, entry.tries - 1) } : entry;
    case "reembedded-to":
      return { ...entry, cursor: event.cursor };
    case "reembedded":
      return to("shadow", { cursor: undefined, withoutCrops: event.withoutCrops });
    case "shadowed":
      return to("activating", { tries: 1, shadow: event.stats });
    case "switched":
      // The boots before the switch was noted count on: it is the same candidate that serves.
      return to("probation", { tries: entry.tries });
    case "passed":
      return to("committed", {
        candidate: undefined,
        active: entry.candidate,
        previous: entry.active,
      });
    default:
      return to((step as readonly [UpdateStateName, UpdateStateName])[1]);
  }
}

/** What an update leaves behind that the next one must not find. */
const CLEAN = {
  candidate: undefined,
  cursor: undefined,
  shadow: undefined,
  withoutCrops: undefined,
  error: undefined,
} as const;

/** Without keys whose value is undefined: as it will be read from the store. */
function pruned(entry: JournalEntry): JournalEntry {
  const kept = Object.entries(entry).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as JournalEntry;
}

function illegal({ state }: JournalEntry, { kind }: UpdateEvent): Fault {
  return new Fault(
    "update_illegal",
    `an update that is ${state} cannot be told "${kind}": report this, with the log before it`,
  );
}

/** The switch and one boot after it. */
const SWITCHED_TRIES_MAX = 2;
/**
 * A candidate that takes the whole machine down while it is tried is given up too, but later. While a
 * pack is only fetched nothing of it runs: power that fails all day is not its fault.
 */
const TRIES_MAX = 5;

/** Which pack a boot serves. Absent `pack`: the factory pack. */
export interface Boot {
  /** To be written before the pack is loaded. */
  readonly entry: JournalEntry;
  readonly pack: PackName | undefined;
}

/**
 * What a boot does with what it finds. Downloads, self-test, re-embedding and shadow begin again where
 * they were, with the old pack serving; a candidate that was switched to gets one more try, then the pack
 * before it is back before anything of the candidate is loaded.
 */
export function recover(entry: JournalEntry, now: EpochMs): Boot {
  if (!isInFlight(entry.state)) return { entry, pack: entry.active };
  const isSwitched = SWITCHED.includes(entry.state);
  const isTooMuch = entry.tries >= (isSwitched ? SWITCHED_TRIES_MAX : TRIES_MAX);
  if (isTooMuch && (isSwitched || TRIED.includes(entry.state))) {
    const failed = next(entry, { kind: "failed", error: crashed(entry) }, now);
    return { entry: failed, pack: entry.active };
  }
  const tried = next(entry, { kind: "booted" }, now);
  return { entry: tried, pack: isSwitched ? entry.candidate : entry.active };
}

/**
 * {@link recover}, and then what to do when the pack it names is not on disk as it was released: the
 * candidate fails, the active one is followed by the previous one, and the factory pack is always there.
 *
 * @param isUsable whether that pack's directory is there and every byte of it is right
 */
export function bootOf(
  entry: JournalEntry,
  isUsable: (pack: PackName) => boolean,
  now: EpochMs,
): Boot {
  const boot = recover(entry, now);
  if (boot.pack === undefined || isUsable(boot.pack)) return boot;
  const error = {
    code: "pack_damaged",
    message: `pack ${boot.pack.id} is missing or damaged on disk; it is fetched again when it is still wanted`,
  };
  if (boot.pack === boot.entry.candidate && isInFlight(boot.entry.state)) {
    const failed = next(boot.entry, { kind: "failed", error }, now);
    return bootOf(failed, isUsable, now);
  }
  const { previous } = boot.entry;
  const to = previous !== undefined && isUsable(previous) ? previous : undefined;
  return { entry: next(boot.entry, { kind: "lost", to, error }, now), pack: to };
}

function crashed({ state, tries }: JournalEntry): UpdateError {
  return {
    code: "crashed",
    message: `the device restarted ${tries} times while the update was ${state}`,
  };
}
