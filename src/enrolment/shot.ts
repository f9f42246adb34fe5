/** Whether one picture of one face may become a template. Shared by guided enrolment and by images sent in. */

import type { QualityMeasures, QualityReason } from "../face/face.ts";
import { type QualityLimits, reasonsAgainst } from "../face/quality.ts";
import type { Candidate } from "../gallery/index-port.ts";
import type { IdentityId, SpaceId } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import { cosineOf, isUnit } from "../lib/vector.ts";
import type { Threshold } from "../match/threshold.ts";
import type { SourceCrop } from "../observation/messages.ts";
import type { EnrolmentOptions } from "./options.ts";
import type { EnrolledShot } from "./source.ts";

/** One face as vision reported it, with what the gallery says of it. */
export interface FaceShot {
  readonly quality: {
    readonly measures: QualityMeasures;
    readonly reasons: readonly QualityReason[];
  };
  readonly embedding?: Float32Array | undefined;
  readonly sourceCrop?: SourceCrop | undefined;
  /** Nearest templates, best first, as the gallery's search gives them; empty for an empty gallery. */
  readonly candidates: readonly Candidate[];
}

export interface ShotContext {
  readonly identityId: IdentityId;
  readonly spaceId: SpaceId;
  /** The configuration's `vision.enrolment`. */
  readonly limits: QualityLimits;
  readonly threshold: Threshold;
  readonly allowDuplicate: boolean;
  readonly options: EnrolmentOptions;
}

export const SHOT_REFUSALS = [
  "no_face",
  "several_faces",
  "low_quality",
  /** Usable, but without embedding or source crop yet: nothing is wrong, another frame will do. */
  "not_ready",
  "too_similar",
  "different_person",
  "belongs_to_other",
  /** Whether the face belongs to somebody else cannot be told without a threshold. */
  "not_calibrated",
] as const;
export type ShotRefusalCode = (typeof SHOT_REFUSALS)[number];

export interface ShotRefusal {
  readonly kind: "refused";
  readonly code: ShotRefusalCode;
  /** Why the quality is too low. */
  readonly reasons: readonly QualityReason[];
  /** To whom the face belongs already. */
  readonly otherIdentityId?: IdentityId;
}

export type ShotJudgement =
  | ShotRefusal
  | { readonly kind: "accepted"; readonly shot: EnrolledShot };

export function refused(
  code: ShotRefusalCode,
  reasons: readonly QualityReason[] = [],
): ShotRefusal {
  return { kind: "refused", code, reasons };
}

/** Quality first, then whose face it is. @throws Fault `not_finite` for a vector that is no unit vector */
export function judgeShot(face: FaceShot, context: ShotContext): ShotJudgement {
  const { embedding, quality } = face;
  const { options, spaceId } = context;
  const reasons = [
    ...new Set([...quality.reasons, ...reasonsAgainst(quality.measures, context.limits, true)]),
  ];
  if (reasons.length > 0) return refused("low_quality", reasons);
  if (embedding === undefined || (options.keepSourceCrops && face.sourceCrop === undefined))
    return refused("not_ready");
  if (!isUnit(embedding, embedding.length)) {
    throw new Fault(
      "not_finite",
      "the embedding of a shot is no unit vector: the model or its provider is broken",
    );
  }
  const owner = ownerOf(face.candidates, context);
  if (owner !== undefined) return owner;
  const crop = options.keepSourceCrops ? face.sourceCrop : undefined;
  return {
    kind: "accepted",
    shot: {
      embedding: { spaceId, vector: embedding },
      ...(crop !== undefined && { sourceCrop: crop }),
    },
  };
}

/** Mean cosine to the vectors. @returns undefined when there are none */
export function meanCosine(
  vector: Float32Array,
  others: readonly Float32Array[],
): number | undefined {
  if (others.length === 0) return undefined;
  let sum = 0;
  for (const other of others) sum += cosineOf(vector, other);
  return sum / others.length;
}

/** No margin here: one near enough template of somebody else is enough to refuse. */
function ownerOf(candidates: readonly Candidate[], context: ShotContext): ShotRefusal | undefined {
  const { threshold, identityId } = context;
  if (context.allowDuplicate || !context.options.duplicateCheck) return undefined;
  const other = candidates.find((candidate) => candidate.identityId !== identityId);
  if (other === undefined) return undefined;
  if (threshold.kind === "none") return refused("not_calibrated");
  // Written so that NaN refuses.
  return other.cosine < threshold.cosine
    ? undefined
    : { ...refused("belongs_to_other"), otherIdentityId: other.identityId };
}
