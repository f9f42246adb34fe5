/** `enrolment/start` and `enrolment/cancel`: a person stands at a camera and is told what to do. */
import { z } from "zod";
import {
  type Session,
  type SessionEffect,
  type SessionInput,
  startSession,
  stepSession,
} from "../../enrolment/session.ts";
import type { FaceShot } from "../../enrolment/shot.ts";
import type { Gallery } from "../../gallery/index-port.ts";
import type { CameraId, IdentityId } from "../../lib/brand.ts";
import { CameraIdSchema, IdentityIdSchema } from "../../lib/id.ts";
import { Latest } from "../../lib/latest.ts";
import {
  answers,
  type CommandContext,
  done,
  type Prepared,
  reads,
  refusal,
  type Started,
  takesLong,
} from "../command.ts";
import type { CollectedFrame } from "../deps.ts";
import { sessionFailed } from "../enrolment-refusals.ts";
import { unknownCamera } from "./device.ts";
import { addShots, candidatesOf, galleryOf, templatesFull } from "./enrolment-image.ts";
import { inOtherSpace } from "./enrolment-spaces.ts";
import { actorOf, unknownIdentity } from "./identity.ts";

const TICK_MS = 250;

const start = z.strictObject({
  id: IdentityIdSchema.meta({ description: "whom to enrol; must exist (identity/put)" }),
  cameraId: CameraIdSchema.meta({ description: "where the person stands" }),
  shots: z
    .int()
    .min(1)
    .max(20)
    .optional()
    .meta({ description: "shots to collect; enrolment.shots when absent" }),
  allowDuplicate: z
    .boolean()
    .default(false)
    .meta({ description: "also when the face belongs to somebody else" }),
});

export const enrolmentStart = takesLong(
  "Enrols a person guided at a camera",
  start,
  async (args, context): Promise<Prepared | Started> => {
    const { id, cameraId } = args;
    if (context.reader.identity(id) === undefined) return answers(unknownIdentity(id));
    if (!context.cameraIds().includes(cameraId))
      return answers(unknownCamera(cameraId, context.cameraIds()));
    const gallery = galleryOf(context);
    const options = context.enrolment();
    if (context.sessions.isBusy(cameraId, id)) return answers(busy());
    const full = templatesFull(context, id, gallery.spaceId, args.shots ?? options.shots);
    if (full !== undefined) return answers(full);
    const request = {
      identityId: id,
      cameraId,
      spaceId: gallery.spaceId,
      limits: context.enrolmentLimits(),
      allowDuplicate: args.allowDuplicate,
      options,
      ...(args.shots === undefined ? {} : { wanted: args.shots }),
    };
    return {
      commit: (tx) => {
        const at = context.clock.epochMs();
        tx.appendEvent(
          "enrolment_started",
          { ...actorOf(context), identity: id, camera: cameraId },
          at,
        );
        return { ok: true, progress: { state: "started", wanted: args.shots ?? options.shots } };
      },
      run: async (report, signal) => {
        using turn = context.sessions.open(cameraId, id);
        const last = await collect(startSession(request, context.clock.monotonicMs()), {
          context,
          report,
          stop: signal,
          cancel: turn.signal,
        });
        return finished(last, context, { id, cameraId }, signal);
      },
    };
  },
);

interface Collecting {
  readonly context: CommandContext;
  readonly report: (progress: Readonly<Record<string, unknown>>) => void;
  readonly stop: AbortSignal;
  readonly cancel: AbortSignal;
}

type Ending = Extract<SessionEffect, { kind: "commit" | "failed" }>;

/** Feeds the session newest frame first until it ends. A frame that comes while one is judged is dropped. */
async function collect(
  first: Session,
  { context, report, stop, cancel }: Collecting,
): Promise<Ending | "stopping"> {
  const { clock, vision } = context;
  const inputs = new Latest<CollectedFrame | "tick">();
  const ended = new AbortController();
  const stopFrames = vision.collect(first.request.cameraId, (frame) => void inputs.put(frame));
  const stopTicks = clock.every(TICK_MS, () => void inputs.put("tick"));
  const wake = (): void => void inputs.put("tick");
  for (const signal of [stop, cancel])
    signal.addEventListener("abort", wake, { signal: ended.signal });
  try {
    for (let session = first; ; ) {
      const input = await inputs.take();
      if (stop.aborted) return "stopping";
      const at = clock.monotonicMs();
      const step = stepSession(
        session,
        cancel.aborted ? { kind: "cancel", code: "cancelled" } : await inputOf(input, at, context),
      );
      session = step.session;
      for (const effect of step.effects) {
        if (effect.kind !== "progress") return effect;
        const { kind: _kind, ...progress } = effect;
        report(progress);
      }
    }
  } finally {
    ended.abort();
    stopTicks();
    stopFrames();
    inputs.close();
  }
}

async function inputOf(
  input: CollectedFrame | "tick" | undefined,
  now: ReturnType<CommandContext["clock"]["monotonicMs"]>,
  context: CommandContext,
): Promise<SessionInput> {
  if (input === undefined || input === "tick") return { kind: "tick", at: now };
  const gallery = galleryOf(context);
  if (gallery.spaceId !== input.spaceId) return { kind: "cancel", code: "model_changed" };
  const faces = await Promise.all(
    input.observations.map((seen) => faceShot(seen, gallery, candidatesOf(context))),
  );
  return { kind: "frame", at: now, spaceId: input.spaceId, threshold: context.threshold(), faces };
}

async function faceShot(
  seen: CollectedFrame["observations"][number],
  gallery: Gallery,
  count: number,
): Promise<FaceShot> {
  const { quality, embedding, sourceCrop } = seen;
  return {
    quality,
    embedding,
    sourceCrop,
    candidates: embedding === undefined ? [] : await gallery.search(embedding, count),
  };
}

async function finished(
  last: Ending | "stopping",
  context: CommandContext,
  { id, cameraId }: { readonly id: IdentityId; readonly cameraId: CameraId },
  signal: AbortSignal,
): Promise<Prepared> {
  if (last !== "stopping" && last.kind === "commit") {
    const { shots } = last;
    const others = await inOtherSpace(context, shots, signal);
    return { commit: (tx) => addShots(tx, context, id, { shots, others }, "camera") };
  }
  const answer =
    last === "stopping"
      ? refusal("interrupted", "the daemon stopped; nothing was kept: start again")
      : sessionFailed(last.code, last.refusals, last.otherIdentityId);
  return {
    commit: (tx) => {
      const code = answer.ok ? "ok" : answer.error.code;
      tx.appendEvent(
        "enrolment_failed",
        { ...actorOf(context), identity: id, camera: cameraId, code },
        context.clock.epochMs(),
      );
      return answer;
    },
  };
}

const cancel = z.strictObject({
  cameraId: CameraIdSchema.meta({ description: "where the enrolment runs" }),
});

/** No effect in the store: the enrolment's own command records its end. It must not wait behind changes. */
export const enrolmentCancel = reads(
  "Cancels the guided enrolment at a camera",
  cancel,
  async ({ cameraId }, context) => {
    if (!context.sessions.cancel(cameraId))
      return refusal("no_enrolment", `no enrolment runs at camera "${cameraId}"`);
    return done({ cameraId, cancelled: true });
  },
);

const busy = () =>
  refusal(
    "busy",
    "this camera, or this person, is being enrolled already: enrolment/cancel ends that one",
  );
