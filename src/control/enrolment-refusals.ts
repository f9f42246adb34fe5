/** What a refused enrolment is told: a stable code, and a message that names the fix. */
import type { SessionFailure } from "../enrolment/session.ts";
import type { ShotRefusal, ShotRefusalCode } from "../enrolment/shot.ts";
import type { QualityReason } from "../face/face.ts";
import type { Answer } from "../lib/envelope.ts";
import { refusal } from "./command.ts";

const QUALITY_FIXES: Readonly<Record<QualityReason, string>> = {
  too_small: "come closer",
  blurred: "hold still, or clean the lens",
  dark: "more light on the face",
  bright: "less light on the face",
  turned: "face the camera",
  clipped: "keep the whole face in the picture",
  landmarks: "uncover eyes, nose and mouth",
};

const MESSAGES: Readonly<
  Record<Exclude<ShotRefusalCode | SessionFailure, "low_quality" | "belongs_to_other">, string>
> = {
  no_face: "no face was found: use a picture that shows one, upright and large enough",
  several_faces: "there is more than one face: use a picture of one person, or ask for the largest",
  not_ready: "the picture was not embedded: send it again",
  too_similar: "the picture is too much like one that is kept: use another one",
  different_person:
    "this is not the person whose templates are kept: check the id, or erase and enrol anew",
  not_calibrated:
    "whether this face belongs to somebody else cannot be told without a threshold: use a calibrated pack, set match.cosineMin, or allowDuplicate",
  timeout: "not enough good shots in time: start again, and see the reasons",
  cancelled: "the enrolment was cancelled; nothing was kept",
  camera_lost: "the camera went away; nothing was kept: see device/status",
  model_changed: "the model was changed meanwhile; nothing was kept: start again",
};

export function shotRefused(judged: ShotRefusal): Answer {
  if (judged.code === "low_quality") {
    const fixes = judged.reasons.map((reason) => `${reason} (${QUALITY_FIXES[reason]})`).join(", ");
    return refusal("low_quality", `the face is not good enough to enrol: ${fixes}`, judged.reasons);
  }
  return judged.code === "belongs_to_other"
    ? belongsToOther(judged.otherIdentityId)
    : refusal(judged.code, MESSAGES[judged.code]);
}

/** @param refusals how often each happened: the answer to "why" */
export function sessionFailed(
  code: SessionFailure,
  refusals: Readonly<Partial<Record<string, number>>>,
  otherIdentityId?: string,
): Answer {
  if (code === "belongs_to_other") return belongsToOther(otherIdentityId);
  const reasons = Object.entries(refusals)
    .sort((a, b) => (b[1] ?? 0) - (a[1] ?? 0))
    .map(([reason]) => reason);
  return refusal(code, MESSAGES[code], reasons);
}

function belongsToOther(otherIdentityId: string | undefined): Answer {
  const owner = otherIdentityId === undefined ? "somebody else" : `"${otherIdentityId}"`;
  return refusal(
    "belongs_to_other",
    `this face is enrolled as ${owner}: erase that one first, or say allowDuplicate`,
  );
}
