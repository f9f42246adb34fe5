/** From the gallery's candidates to one match or "unknown". */
import type { Candidate } from "../gallery/index-port.ts";
import { type Cosine, cosine } from "../lib/brand.ts";
import type { Match } from "./match.ts";
import type { MatchOptions } from "./options.ts";
import type { Threshold } from "./threshold.ts";

/**
 * @param candidates best first, exact cosines, as {@link Gallery.search} gives for `options.candidates`
 *
 * Every comparison is written so that NaN denies.
 */
export function matchOf(
  candidates: readonly Candidate[],
  threshold: Threshold,
  options: Pick<MatchOptions, "marginMin" | "candidates">,
): Match {
  const best = candidates[0];
  if (best === undefined) return { kind: "unknown", reason: "no_gallery" };
  if (threshold.kind === "none")
    return { kind: "unknown", reason: "no_threshold", cosine: best.cosine };
  if (!(best.cosine >= threshold.cosine))
    return { kind: "unknown", reason: "below_threshold", cosine: best.cosine };
  const rival = rivalCosine(candidates, best, options.candidates);
  if (rival === undefined) {
    return {
      kind: "identity",
      identityId: best.identityId,
      cosine: best.cosine,
      threshold: threshold.cosine,
    };
  }
  const margin = cosine(best.cosine - rival);
  if (!(margin >= options.marginMin))
    return { kind: "unknown", reason: "small_margin", cosine: best.cosine };
  return {
    kind: "identity",
    identityId: best.identityId,
    cosine: best.cosine,
    margin,
    threshold: threshold.cosine,
  };
}

/**
 * Best cosine of anybody else. When the list is full of one identity, somebody else may sit right below
 * its end, so its last cosine stands in.
 */
function rivalCosine(
  candidates: readonly Candidate[],
  best: Candidate,
  asked: number,
): Cosine | undefined {
  const other = candidates.find((candidate) => candidate.identityId !== best.identityId);
  if (other !== undefined) return other.cosine;
  return candidates.length >= asked ? candidates.at(-1)?.cosine : undefined;
}
