/** Guided enrolment at a camera: a reducer that collects a few good, different shots of one person. */

import type { QualityReason } from "../face/face.ts";
import type { CameraId, MonotonicMs } from "../lib/brand.ts";
import { cosineOf } from "../lib/vector.ts";
import {
  type FaceShot,
  judgeShot,
  meanCosine,
  refused,
  type ShotContext,
  type ShotJudgement,
  type ShotRefusal,
  type ShotRefusalCode,
} from "./shot.ts";
import type { EnrolledShot } from "./source.ts";

export interface SessionRequest extends Omit<ShotContext, "threshold"> {
  readonly cameraId: CameraId;
  /** Shots to collect; the site's default when absent. */
  readonly wanted?: number;
}

export interface Session {
  readonly request: SessionRequest;
  readonly wanted: number;
  readonly deadline: MonotonicMs;
  readonly accepted: readonly { readonly at: MonotonicMs; readonly shot: EnrolledShot }[];
  /** How often each refusal happened: the answer to "why did it take so long". */
  readonly refusals: Readonly<Partial<Record<ShotRefusalCode, number>>>;
  readonly lastRefusal?: ShotRefusal;
  /** Shots in a row that showed another, or an already enrolled, person. */
  readonly hopeless: number;
  readonly finished: boolean;
}

export type SessionInput =
  /** Every face in view of one frame of the session's camera. */
  | {
      readonly kind: "frame";
      readonly at: MonotonicMs;
      readonly spaceId: ShotContext["spaceId"];
      readonly threshold: ShotContext["threshold"];
      readonly faces: readonly FaceShot[];
    }
  /** Time passed, perhaps without frames. */
  | { readonly kind: "tick"; readonly at: MonotonicMs }
  | { readonly kind: "cancel"; readonly code: "cancelled" | "camera_lost" | "model_changed" };

export const HINTS = {
  too_small: "come_closer",
  blurred: "hold_still",
  dark: "more_light",
  bright: "less_light",
  turned: "face_the_camera",
  clipped: "move_into_view",
  landmarks: "uncover_the_face",
} as const satisfies Record<QualityReason, string>;
export type Hint =
  | (typeof HINTS)[QualityReason]
  | "step_in_front"
  | "one_person_only"
  | "turn_a_little"
  | "same_person_only";

export type SessionFailure =
  | "timeout"
  | "cancelled"
  | "camera_lost"
  | "model_changed"
  | "belongs_to_other"
  | "different_person"
  | "not_calibrated";

export type SessionEffect =
  /** Only when something changed. */
  | {
      readonly kind: "progress";
      readonly accepted: number;
      readonly wanted: number;
      readonly lastReason?: ShotRefusalCode;
      readonly quality: readonly QualityReason[];
      readonly hints: readonly Hint[];
    }
  | { readonly kind: "commit"; readonly shots: readonly EnrolledShot[] }
  | {
      readonly kind: "failed";
      readonly code: SessionFailure;
      readonly accepted: number;
      readonly refusals: Session["refusals"];
      readonly otherIdentityId?: ShotRefusal["otherIdentityId"];
    };

export interface SessionStep {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

export function startSession(request: SessionRequest, now: MonotonicMs): Session {
  const { options } = request;
  const wanted = Math.min(
    Math.max(1, request.wanted ?? options.shots),
    options.templatesPerIdentityMax,
  );
  return {
    request,
    wanted,
    deadline: (now + options.timeoutMs) as MonotonicMs,
    accepted: [],
    refusals: {},
    hopeless: 0,
    finished: false,
  };
}

/** Ends with exactly one `commit` or `failed`; after that nothing has an effect. */
export function stepSession(session: Session, input: SessionInput): SessionStep {
  if (session.finished) return { session, effects: [] };
  if (input.kind === "cancel") return fail(session, input.code);
  if (input.at >= session.deadline) return fail(session, "timeout");
  if (input.kind === "tick") return { session, effects: [] };
  if (input.spaceId !== session.request.spaceId) return fail(session, "model_changed");
  const judged = judgeFrame(session, input);
  return judged.kind === "accepted"
    ? accept(session, input.at, judged.shot)
    : refuse(session, judged);
}

function judgeFrame(
  session: Session,
  input: SessionInput & { readonly kind: "frame" },
): ShotJudgement {
  const [face, ...others] = input.faces;
  if (face === undefined) return refused("no_face");
  if (others.length > 0) return refused("several_faces");
  const judged = judgeShot(face, { ...session.request, threshold: input.threshold });
  if (judged.kind === "refused") return judged;
  const { options } = session.request;
  const { vector } = judged.shot.embedding;
  const mean = meanCosine(
    vector,
    session.accepted.map(({ shot }) => shot.embedding.vector),
  );
  if (mean !== undefined && !(mean >= options.consistencyCosineMin))
    return refused("different_person");
  const repeats = session.accepted.some(
    ({ at, shot }) =>
      input.at - at < options.diversityMs &&
      !(cosineOf(vector, shot.embedding.vector) <= options.diversityCosineMax),
  );
  return repeats ? refused("too_similar") : judged;
}

function accept(before: Session, at: MonotonicMs, shot: EnrolledShot): SessionStep {
  const { lastRefusal: _over, ...rest } = before;
  const accepted = [...before.accepted, { at, shot }];
  const session: Session = { ...rest, accepted, hopeless: 0 };
  const progress = progressOf(session);
  if (accepted.length < session.wanted) return { session, effects: [progress] };
  return {
    session: { ...session, finished: true },
    effects: [progress, { kind: "commit", shots: accepted.map((entry) => entry.shot) }],
  };
}

function refuse(before: Session, refusal: ShotRefusal): SessionStep {
  // A frame that was not embedded says nothing.
  if (refusal.code === "not_ready") return { session: before, effects: [] };
  const { code } = refusal;
  const wrong =
    code === "belongs_to_other" || code === "different_person" || code === "not_calibrated";
  const session: Session = {
    ...before,
    refusals: { ...before.refusals, [code]: (before.refusals[code] ?? 0) + 1 },
    lastRefusal: refusal,
    hopeless: wrong ? before.hopeless + 1 : 0,
  };
  if (wrong && session.hopeless >= before.request.options.hopelessAfter) return fail(session, code);
  const last = before.lastRefusal;
  const same = last?.code === code && last.reasons.join() === refusal.reasons.join();
  return { session, effects: same ? [] : [progressOf(session)] };
}

function fail(before: Session, code: SessionFailure): SessionStep {
  const other = before.lastRefusal?.otherIdentityId;
  const effect: SessionEffect = {
    kind: "failed",
    code,
    accepted: before.accepted.length,
    refusals: before.refusals,
    ...(code === "belongs_to_other" && other !== undefined && { otherIdentityId: other }),
  };
  // Biometric data of an enrolment that failed is let go at once.
  return { session: { ...before, accepted: [], finished: true }, effects: [effect] };
}

function progressOf(session: Session): SessionEffect {
  const { lastRefusal } = session;
  return {
    kind: "progress",
    accepted: session.accepted.length,
    wanted: session.wanted,
    ...(lastRefusal !== undefined && { lastReason: lastRefusal.code }),
    quality: lastRefusal?.reasons ?? [],
    hints: hintsFor(lastRefusal),
  };
}

function hintsFor(refusal: ShotRefusal | undefined): readonly Hint[] {
  switch (refusal?.code) {
    case "no_face":
      return ["step_in_front"];
    case "several_faces":
      return ["one_person_only"];
    case "low_quality":
      return refusal.reasons.map((reason) => HINTS[reason]);
    case "too_similar":
      return ["turn_a_little"];
    case "different_person":
      return ["same_person_only"];
    default:
      return [];
  }
}
