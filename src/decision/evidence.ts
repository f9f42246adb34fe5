/**
 * What the frames of one track say together. A reducer: every usable frame that was compared counts, for a
 * person, for another one, or for nobody; a person is identified by enough frames and a clear majority.
 */
import type { QualityReason } from "../face/face.ts";
import type { Cosine, IdentityId, MonotonicMs, SpaceId } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import type { Match } from "../match/match.ts";
import type { DecisionOptions } from "./options.ts";

export type EvidenceOptions = Pick<
  DecisionOptions,
  | "framesMin"
  | "agreeingShareMin"
  | "unknownAfterFrames"
  | "windowFramesMax"
  | "windowMs"
  | "trackFramesMin"
  | "attemptsPerTrackMax"
  | "attemptsPauseMs"
>;

export type EvidenceInput =
  /** A usable frame, compared with the gallery. `weight` in (0, 1]. */
  | {
      readonly kind: "frame";
      readonly at: MonotonicMs;
      readonly spaceId: SpaceId;
      readonly match: Match;
      readonly weight: number;
    }
  /** A usable frame that was not compared: no evidence, but the person is there. */
  | { readonly kind: "seen"; readonly at: MonotonicMs }
  | {
      readonly kind: "unusable";
      readonly at: MonotonicMs;
      readonly reasons: readonly QualityReason[];
    }
  | { readonly kind: "ended"; readonly at: MonotonicMs };

interface Vote {
  readonly at: MonotonicMs;
  readonly weight: number;
  readonly identityId?: IdentityId;
  readonly cosine?: Cosine;
}

export interface Evidence {
  readonly spaceId: SpaceId;
  /** Newest compared frames, oldest first; bounded by number and age. */
  readonly votes: readonly Vote[];
  readonly seenFrames: number;
  readonly usableFrames: number;
  readonly unusable: Readonly<Partial<Record<QualityReason, number>>>;
  /** Compared frames that did not confirm the identified person, since the last pause. */
  readonly attempts: number;
  readonly pausedUntil?: MonotonicMs;
  readonly firstUsableAt?: MonotonicMs;
  readonly identified?: IdentityId;
  /** Misses already said since the last identification. */
  readonly saidMisses: readonly Miss[];
  readonly ended: boolean;
}

export type Miss = "unknown" | "disagreement" | "too_few_frames" | "unusable" | "too_many_attempts";

interface VerdictBase {
  /** Usable frames that it rests on. */
  readonly frames: number;
  readonly bestCosine?: Cosine;
  readonly firstUsableAt?: MonotonicMs;
}
export type Identified = VerdictBase & {
  readonly kind: "identified";
  readonly identityId: IdentityId;
};
export type Missed = VerdictBase & {
  readonly kind: Miss /** Most frequent first. */;
  readonly quality: readonly QualityReason[];
};
export type Verdict = Identified | Missed;

export interface EvidenceStep {
  readonly evidence: Evidence;
  /** Something new to say: another person, or a kind of miss for the first time since the last person. */
  readonly verdict?: Verdict;
  /** This very frame shows the identified person, and the evidence as a whole still does. A grant needs it. */
  readonly confirmed?: Identified;
  /** Another comparison that might have matched by chance. */
  readonly attempted: boolean;
}

export function noEvidence(spaceId: SpaceId): Evidence {
  return {
    spaceId,
    votes: [],
    seenFrames: 0,
    usableFrames: 0,
    unusable: {},
    attempts: 0,
    saidMisses: [],
    ended: false,
  };
}

/** @throws Fault `not_finite`, `space_mismatch`: the caller's bug or a broken model, never a person's doing */
export function step(
  evidence: Evidence,
  input: EvidenceInput,
  options: EvidenceOptions,
): EvidenceStep {
  if (!Number.isFinite(input.at))
    throw new Fault(
      "not_finite",
      "evidence at a time that is not a number: give the frame's capture time",
    );
  if (evidence.ended) return { evidence, attempted: false };
  switch (input.kind) {
    case "seen":
      return { evidence: usable(evidence, input.at), attempted: false };
    case "unusable":
      return { evidence: unusable(evidence, input.reasons), attempted: false };
    case "ended":
      return ended(evidence, options);
    case "frame":
      return compared(evidence, input, options);
  }
}

function usable(evidence: Evidence, at: MonotonicMs): Evidence {
  return {
    ...evidence,
    seenFrames: evidence.seenFrames + 1,
    firstUsableAt: evidence.firstUsableAt ?? at,
  };
}

function unusable(evidence: Evidence, reasons: readonly QualityReason[]): Evidence {
  const counts = { ...evidence.unusable };
  for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  return { ...evidence, seenFrames: evidence.seenFrames + 1, unusable: counts };
}

function compared(
  before: Evidence,
  input: EvidenceInput & { readonly kind: "frame" },
  options: EvidenceOptions,
): EvidenceStep {
  check(before, input);
  const last = before.votes.at(-1);
  if (last !== undefined && input.at <= last.at) return { evidence: before, attempted: false };
  const seen = usable(before, input.at);
  if (seen.pausedUntil !== undefined && input.at < seen.pausedUntil)
    return { evidence: seen, attempted: false };

  const { match } = input;
  const vote: Vote = {
    at: input.at,
    weight: input.weight,
    ...(match.kind === "identity" && { identityId: match.identityId }),
    ...(match.cosine !== undefined && { cosine: match.cosine }),
  };
  const votes = [...seen.votes, vote]
    .filter((v) => v.at > input.at - options.windowMs)
    .slice(-options.windowFramesMax);
  const attempted = vote.identityId === undefined || vote.identityId !== seen.identified;
  const { pausedUntil: _over, ...rest } = seen;
  const evidence: Evidence = {
    ...rest,
    votes,
    usableFrames: seen.usableFrames + 1,
    attempts: seen.attempts + (attempted ? 1 : 0),
  };

  if (vote.identityId !== undefined && agreed(votes, vote.identityId, options))
    return identify(evidence, vote.identityId, attempted);
  if (evidence.attempts >= options.attemptsPerTrackMax) return pause(evidence, input.at, options);
  if (votes.length < options.unknownAfterFrames) return { evidence, attempted };
  if (evidence.identified !== undefined && votes.some((v) => v.identityId === evidence.identified))
    return { evidence, attempted };
  return miss(evidence, nameless(votes), votes.length, attempted);
}

/** Enough frames of this person, more of them than of everything else, and a clear majority by weight. */
function agreed(votes: readonly Vote[], identityId: IdentityId, options: EvidenceOptions): boolean {
  let frames = 0;
  let weight = 0;
  let total = 0;
  for (const vote of votes) {
    total += vote.weight;
    if (vote.identityId !== identityId) continue;
    frames += 1;
    weight += vote.weight;
  }
  return (
    frames >= options.framesMin &&
    2 * frames > votes.length &&
    weight >= options.agreeingShareMin * total
  );
}

function identify(before: Evidence, identityId: IdentityId, attempted: boolean): EvidenceStep {
  const frames = before.votes.filter((vote) => vote.identityId === identityId).length;
  const confirmed: Identified = { kind: "identified", identityId, frames, ...summaryOf(before) };
  if (before.identified === identityId) return { evidence: before, confirmed, attempted };
  return {
    evidence: { ...before, identified: identityId, saidMisses: [] },
    verdict: confirmed,
    confirmed,
    attempted,
  };
}

/** What was seen so far is void: after the pause the person begins anew. */
function pause(before: Evidence, at: MonotonicMs, options: EvidenceOptions): EvidenceStep {
  const said = miss(before, "too_many_attempts", before.votes.length, true);
  return {
    ...said,
    evidence: {
      ...said.evidence,
      votes: [],
      attempts: 0,
      pausedUntil: (at + options.attemptsPauseMs) as MonotonicMs,
    },
  };
}

function ended(before: Evidence, options: EvidenceOptions): EvidenceStep {
  const over = { ...before, ended: true };
  const silent =
    before.identified !== undefined ||
    before.saidMisses.length > 0 ||
    before.seenFrames < options.trackFramesMin;
  if (silent) return { evidence: over, attempted: false };
  if (before.firstUsableAt === undefined) return miss(over, "unusable", 0, false);
  if (before.usableFrames < options.framesMin)
    return miss(over, "too_few_frames", before.usableFrames, false);
  return miss(over, nameless(before.votes), before.usableFrames, false);
}

function miss(before: Evidence, kind: Miss, frames: number, attempted: boolean): EvidenceStep {
  const { identified: _gone, ...evidence } = before;
  if (before.saidMisses.includes(kind)) return { evidence, attempted };
  const verdict: Missed = {
    kind,
    frames,
    quality: histogramOf(before.unusable),
    ...summaryOf(before),
  };
  return {
    evidence: { ...evidence, saidMisses: [...before.saidMisses, kind] },
    verdict,
    attempted,
  };
}

/** Nobody is agreed upon: because nobody is known, or because frames point at different people. */
function nameless(votes: readonly Vote[]): "unknown" | "disagreement" {
  const named = new Set(votes.flatMap((vote) => vote.identityId ?? []));
  return named.size > 1 ? "disagreement" : "unknown";
}

function summaryOf(evidence: Evidence): Pick<VerdictBase, "bestCosine" | "firstUsableAt"> {
  const cosines = evidence.votes.flatMap((vote) => vote.cosine ?? []);
  return {
    ...(cosines.length > 0 && { bestCosine: Math.max(...cosines) as Cosine }),
    ...(evidence.firstUsableAt !== undefined && { firstUsableAt: evidence.firstUsableAt }),
  };
}

function histogramOf(counts: Evidence["unusable"]): readonly QualityReason[] {
  const entries = Object.entries(counts) as [QualityReason, number][];
  return entries.sort((a, b) => b[1] - a[1]).map(([reason]) => reason);
}

function check(evidence: Evidence, input: EvidenceInput & { readonly kind: "frame" }): void {
  if (input.spaceId !== evidence.spaceId) {
    throw new Fault(
      "space_mismatch",
      `a frame of space ${input.spaceId} was given to evidence of space ${evidence.spaceId}: begin new evidence when the model changes`,
    );
  }
  const { match, weight } = input;
  const numbers = [weight, match.cosine ?? 0, match.kind === "identity" ? match.threshold : 0];
  if (!numbers.every(Number.isFinite) || !(weight > 0)) {
    throw new Fault(
      "not_finite",
      "a compared frame holds a weight or cosine that is no number: the model or its input is broken",
    );
  }
  if (match.kind === "identity" && !(match.cosine >= match.threshold)) {
    throw new Fault(
      "below_threshold",
      "a match below its own threshold was given as evidence: it must be an unknown",
    );
  }
}
