/**
 * The shadow run, as numbers: a candidate pack looks at the same frames as the pack that serves, and
 * both are asked who is there. Each answers from the gallery of its own space; what is compared are the
 * answers, never the embeddings.
 */
import { z } from "zod";
import type { Box } from "../frame/frame.ts";
import { overlap } from "../frame/geometry.ts";
import type { IdentityId } from "../lib/brand.ts";
import { noted, percentile95 } from "./percentile.ts";
import type { ShadowStats } from "./report.ts";

export const ShadowOptions = z.strictObject({
  everyMs: z.int().min(100).max(3_600_000).default(1000).meta({
    description: "least time between two sampled frames of one camera",
  }),
  frameAgeMaxMs: z.int().min(1).max(10_000).default(200).meta({
    description: "a frame that waited longer for its turn is not sampled: the machine is busy",
  }),
  framesMin: z.int().min(1).default(100).meta({ description: "frames that must be looked at" }),
  comparedMin: z
    .int()
    .min(0)
    .default(30)
    .meta({ description: "faces that must be compared; 0 for a door that nobody uses" }),
  durationMinMs: z
    .int()
    .min(0)
    .default(3_600_000)
    .meta({ description: "the shadow run lasts at least this long, ms" }),
  durationMaxMs: z
    .int()
    .min(1000)
    .default(3 * 24 * 3_600_000)
    .meta({ description: "with too few faces by then it ends as `shadow_too_few`, ms" }),
  faceAgreementMin: z.number().min(0).max(1).default(0.7).meta({
    description: "least share of faces that both detectors find",
  }),
  identityAgreementMin: z.number().min(0).max(1).default(0.95).meta({
    description: "least share of compared faces about which both packs say the same",
  }),
  scoreShiftMin: z.number().min(-2).max(2).default(-0.1).meta({
    description: "least mean change of a known person's distance to the threshold, cosine",
  }),
  p95MaxMs: z.number().positive().default(1000).meta({
    description:
      "95th percentile of the candidate's face step, which runs beside the serving pack at low priority",
  }),
});
export type ShadowOptions = z.infer<typeof ShadowOptions>;

/** What a pack says of one face. */
export interface ShadowAnswer {
  /** Absent: nobody of the gallery. */
  readonly identityId?: IdentityId | undefined;
  /** Best cosine minus threshold, in that pack's own space; absent without a threshold or a gallery. */
  readonly margin?: number | undefined;
}

export interface ShadowFace {
  readonly box: Box;
  /** Absent when the face was not embedded or may not be compared. */
  readonly answer?: ShadowAnswer | undefined;
}

/** One frame, looked at by both. */
export interface ShadowFrame {
  readonly active: { readonly faces: readonly ShadowFace[]; readonly ms: number };
  readonly candidate: { readonly faces: readonly ShadowFace[]; readonly ms: number };
}

export interface ShadowTally {
  readonly frames: number;
  readonly shed: number;
  readonly foundByBoth: number;
  readonly foundByEither: number;
  readonly compared: number;
  readonly agreed: number;
  readonly shiftSum: number;
  readonly shifts: number;
  readonly activeMs: readonly number[];
  readonly candidateMs: readonly number[];
}

export const NO_SHADOW: ShadowTally = {
  frames: 0,
  shed: 0,
  foundByBoth: 0,
  foundByEither: 0,
  compared: 0,
  agreed: 0,
  shiftSum: 0,
  shifts: 0,
  activeMs: [],
  candidateMs: [],
};

/** Two boxes are one face from here on. */
const OVERLAP_MIN = 0.3;

export function shedFrames(tally: ShadowTally, count: number): ShadowTally {
  return { ...tally, shed: tally.shed + count };
}

export function addFrame(tally: ShadowTally, { active, candidate }: ShadowFrame): ShadowTally {
  const pairs = pairsOf(active.faces, candidate.faces);
  let { compared, agreed, shiftSum, shifts } = tally;
  for (const [before, after] of pairs) {
    if (before.answer === undefined || after.answer === undefined) continue;
    compared += 1;
    if (before.answer.identityId === after.answer.identityId) agreed += 1;
    // How far strangers stay below the threshold says nothing about who is let in.
    const [from, to] = [before.answer.margin, after.answer.margin];
    if (before.answer.identityId === undefined || from === undefined || to === undefined) continue;
    shiftSum += to - from;
    shifts += 1;
  }
  return {
    ...tally,
    frames: tally.frames + 1,
    foundByBoth: tally.foundByBoth + pairs.length,
    foundByEither:
      tally.foundByEither + active.faces.length + candidate.faces.length - pairs.length,
    compared,
    agreed,
    shiftSum,
    shifts,
    activeMs: noted(tally.activeMs, active.ms),
    candidateMs: noted(tally.candidateMs, candidate.ms),
  };
}

/** Shares of nothing are 1. */
export function shadowStatsOf(tally: ShadowTally): ShadowStats {
  const share = (part: number, whole: number): number => (whole === 0 ? 1 : part / whole);
  return {
    frames: tally.frames,
    faceAgreement: share(tally.foundByBoth, tally.foundByEither),
    compared: tally.compared,
    identityAgreement: share(tally.agreed, tally.compared),
    scoreShift: tally.shifts === 0 ? 0 : tally.shiftSum / tally.shifts,
    activeP95Ms: percentile95(tally.activeMs),
    candidateP95Ms: percentile95(tally.candidateMs),
    shed: tally.shed,
  };
}

export type ShadowVerdict =
  | { readonly kind: "more" }
  | { readonly kind: "passed" }
  | {
      readonly kind: "failed";
      readonly code:
        | "shadow_faces"
        | "shadow_identities"
        | "shadow_scores"
        | "shadow_slow"
        | "shadow_too_few";
      readonly message: string;
    };

/** A candidate that is worse fails as soon as there is enough to say so; one that is not waits its time. */
export function shadowVerdict(
  stats: ShadowStats,
  elapsedMs: number,
  options: ShadowOptions,
): ShadowVerdict {
  const enough = stats.frames >= options.framesMin && stats.compared >= options.comparedMin;
  const worse = enough ? worseIn(stats, options) : undefined;
  if (worse !== undefined) return worse;
  if (enough && elapsedMs >= options.durationMinMs) return { kind: "passed" };
  if (elapsedMs < options.durationMaxMs) return { kind: "more" };
  return failed(
    "shadow_too_few",
    `${stats.frames} frames and ${stats.compared} faces were compared, ${options.framesMin} and ${options.comparedMin} are needed`,
  );
}

function worseIn(stats: ShadowStats, options: ShadowOptions): ShadowVerdict | undefined {
  const { faceAgreement, identityAgreement, scoreShift, candidateP95Ms } = stats;
  // Written so that NaN fails.
  if (!(faceAgreement >= options.faceAgreementMin))
    return failed(
      "shadow_faces",
      `both detectors found ${faceAgreement.toFixed(3)} of the faces, ${options.faceAgreementMin} is needed`,
    );
  if (!(identityAgreement >= options.identityAgreementMin))
    return failed(
      "shadow_identities",
      `both packs said the same of ${identityAgreement.toFixed(3)} of the faces, ${options.identityAgreementMin} is needed`,
    );
  if (!(scoreShift >= options.scoreShiftMin))
    return failed(
      "shadow_scores",
      `known people moved by ${scoreShift.toFixed(3)} towards the threshold, ${options.scoreShiftMin} is allowed`,
    );
  if (!(candidateP95Ms <= options.p95MaxMs))
    return failed(
      "shadow_slow",
      `one face step takes ${Math.round(candidateP95Ms)} ms at the 95th percentile, ${options.p95MaxMs} are allowed`,
    );
  return undefined;
}

function failed(
  code: Extract<ShadowVerdict, { readonly kind: "failed" }>["code"],
  message: string,
): ShadowVerdict {
  return { kind: "failed", code, message };
}

/** Each face once, the largest overlap first. */
function pairsOf(
  active: readonly ShadowFace[],
  candidate: readonly ShadowFace[],
): readonly (readonly [ShadowFace, ShadowFace])[] {
  const all = active.flatMap((before) =>
    candidate.map((after) => ({ before, after, shared: overlap(before.box, after.box) })),
  );
  const taken = new Set<ShadowFace>();
  const pairs: (readonly [ShadowFace, ShadowFace])[] = [];
  for (const { before, after, shared } of all.toSorted((a, b) => b.shared - a.shared)) {
    if (!(shared >= OVERLAP_MIN) || taken.has(before) || taken.has(after)) continue;
    taken.add(before).add(after);
    pairs.push([before, after]);
  }
  return pairs;
}
