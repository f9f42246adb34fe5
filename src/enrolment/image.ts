/** Acceptance of one analysed picture for `enrolment/add-image`. */

import type { Candidate } from "../gallery/index-port.ts";
import type { AnalysedFace } from "../observation/messages.ts";
import { judgeShot, refused, type ShotContext, type ShotJudgement } from "./shot.ts";

export interface ImageContext extends ShotContext {
  /** Take the largest face of several, instead of refusing. */
  readonly largest: boolean;
  /** Templates that the identity has in this space already. */
  readonly ownTemplates: number;
}

/**
 * The face that a picture is about, or why there is none. What has no landmarks that could be a face's is
 * most often none, and does not count beside one that has.
 */
export function faceOf(
  faces: readonly AnalysedFace[],
  largest: boolean,
):
  | { readonly kind: "face"; readonly index: number }
  | (ShotJudgement & { readonly kind: "refused" }) {
  const sure = faces.filter(({ quality }) => !quality.reasons.includes("landmarks"));
  const [first, ...others] = (sure.length > 0 ? sure : faces).toSorted(
    (a, b) => areaOf(b) - areaOf(a),
  );
  if (first === undefined) return refused("no_face");
  if (others.length > 0 && !largest) return refused("several_faces");
  return { kind: "face", index: faces.indexOf(first) };
}

const areaOf = ({ face }: AnalysedFace): number => face.box.width * face.box.height;

/**
 * @param face the one that {@link faceOf} chose
 * @param candidates what the gallery's search says of its embedding, best first; empty when it has none
 */
export function judgeImage(
  face: AnalysedFace,
  candidates: readonly Candidate[],
  context: ImageContext,
): ShotJudgement {
  const judged = judgeShot({ ...face, candidates }, context);
  if (judged.kind === "refused" || context.ownTemplates === 0) return judged;
  const own = candidates.find((candidate) => candidate.identityId === context.identityId);
  // Not among the nearest at all: less alike than everybody who is.
  return own !== undefined && own.cosine >= context.options.consistencyCosineMin
    ? judged
    : refused("different_person");
}
