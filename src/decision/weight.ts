/** How much one compared frame counts, and how a score is shown. */
import type { QualityMeasures } from "../face/face.ts";
import type { Cosine } from "../lib/brand.ts";
import type { Match } from "../match/match.ts";
import type { Observation, ObserveMessage } from "../observation/messages.ts";
import type { ScoreBand } from "./decision.ts";
import type { EvidenceInput } from "./evidence.ts";

/** From here on a larger or sharper face is no better evidence. */
const FULL_EYE_DISTANCE_PX = 48;
const FULL_SHARPNESS = 120;
/** No usable frame counts less than this share of a perfect one: poor frames cannot be drowned out. */
const LEAST_FACTOR = 0.5;
/** Distance above the threshold at which a match counts fully, and below it at which a miss still counts as near. */
export const BAND_WIDTH = 0.1;

/**
 * Weight of one frame in (0, 1]: size × sharpness, and for a match × margin over the threshold. A frame that
 * matches nobody always weighs at least what it would weigh as a match, so a miss is never cheaper than a hit.
 */
export function weightOf(measures: QualityMeasures, match: Match): number {
  const quality =
    factor(measures.eyeDistancePx / FULL_EYE_DISTANCE_PX) *
    factor(measures.sharpness / FULL_SHARPNESS);
  return match.kind === "identity"
    ? quality * factor((match.cosine - match.threshold) / BAND_WIDTH)
    : quality;
}

/** What one observation says as evidence. @param match undefined when it was not compared */
export function evidenceInputOf(
  message: Pick<ObserveMessage, "capturedAt" | "spaceId">,
  { quality }: Pick<Observation, "quality">,
  match: Match | undefined,
): EvidenceInput {
  const at = message.capturedAt.monotonicMs;
  if (quality.reasons.length > 0) return { kind: "unusable", at, reasons: quality.reasons };
  if (match === undefined) return { kind: "seen", at };
  const weight = weightOf(quality.measures, match);
  return { kind: "frame", at, spaceId: message.spaceId, match, weight };
}

/** Scores leave the appliance only as bands: exact ones would help somebody to climb towards a match. */
export function bandOf(best: Cosine | undefined, threshold: Cosine | undefined): ScoreBand {
  if (best === undefined) return "none";
  if (threshold === undefined) return "low";
  if (best >= threshold) return "high";
  return best >= threshold - BAND_WIDTH ? "near" : "low";
}

/** NaN becomes the least factor. */
function factor(share: number): number {
  return share > LEAST_FACTOR ? Math.min(1, share) : LEAST_FACTOR;
}
