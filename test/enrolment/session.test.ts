import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EnrolmentOptions } from "../../src/enrolment/options.ts";
import {
  type SessionEffect,
  type SessionInput,
  type SessionRequest,
  startSession,
  stepSession,
} from "../../src/enrolment/session.ts";
import type { FaceShot } from "../../src/enrolment/shot.ts";
import { type CameraId, monotonicMs, type SpaceId } from "../../src/lib/brand.ts";
import { ANNA, BEN, GOOD, SPACE, unit } from "../support/decision.ts";
import { context, near, shot } from "../support/enrolment.ts";

const { threshold, ...shared } = context;
const request: SessionRequest = { ...shared, cameraId: "cam-1" as CameraId, wanted: 3 };

/** Shots of one person that differ: cosine 0.9 to axis 0, the rest along another axis each. */
const face = (axis: number, fields: Partial<FaceShot> = {}) =>
  shot({ embedding: unit(axis, 0.9), ...fields });
const frame = (at: number, ...faces: readonly FaceShot[]): SessionInput => ({
  kind: "frame",
  at: monotonicMs(at),
  spaceId: SPACE,
  threshold,
  faces,
});

function run(inputs: readonly SessionInput[], change: Partial<SessionRequest> = {}) {
  let session = startSession({ ...request, ...change }, monotonicMs(0));
  const effects = inputs.flatMap((input) => {
    const next = stepSession(session, input);
    session = next.session;
    return next.effects;
  });
  return { session, effects };
}
const reasons = (effects: readonly SessionEffect[]) =>
  effects.map((effect) =>
    effect.kind === "progress" ? (effect.lastReason ?? effect.accepted) : effect.kind,
  );

test("collects the wanted number of different shots and commits them once", () => {
  const { effects, session } = run([
    frame(1, face(1)),
    frame(2, face(2)),
    frame(3, face(3)),
    frame(4, face(4)),
  ]);
  assert.deepEqual(reasons(effects), [1, 2, 3, "commit"]);
  const commit = effects.at(-1);
  assert.ok(commit?.kind === "commit");
  assert.deepEqual(
    commit.shots.map(({ embedding }) => embedding.vector),
    [unit(1, 0.9), unit(2, 0.9), unit(3, 0.9)],
  );
  assert.equal(session.finished, true);
});

test("refusals tell why and what to do, once while they last", () => {
  const blurred = face(1, {
    quality: { measures: { ...GOOD, sharpness: 1, eyeDistancePx: 10 }, reasons: [] },
  });
  const { effects } = run([
    frame(1),
    frame(2),
    frame(3, face(1), face(2)),
    frame(4, blurred),
    frame(5, blurred),
    frame(6, face(1)),
    frame(7, face(1)),
  ]);
  assert.deepEqual(
    effects.map(
      (effect) =>
        effect.kind === "progress" && [effect.accepted, effect.lastReason, ...effect.hints],
    ),
    [
      [0, "no_face", "step_in_front"],
      [0, "several_faces", "one_person_only"],
      [0, "low_quality", "come_closer", "hold_still"],
      [1, undefined],
      [1, "too_similar", "turn_a_little"],
    ],
  );
});

test("the same view is taken again only later", () => {
  const { effects } = run([frame(1, face(1)), frame(900, face(1)), frame(1001, face(1))]);
  assert.deepEqual(reasons(effects), [1, "too_similar", 2]);
});

test("another person is refused, and ends the session when it stays so", () => {
  const other = shot({ embedding: unit(6) });
  const { effects, session } = run([
    frame(1, face(1)),
    ...[2, 3, 4, 5, 6].map((at) => frame(at, other)),
  ]);
  assert.deepEqual(reasons(effects), [1, "different_person", "failed"]);
  assert.deepEqual(effects.at(-1), {
    kind: "failed",
    code: "different_person",
    accepted: 1,
    refusals: { different_person: 5 },
  });
  assert.deepEqual(session.accepted, [], "nothing biometric is kept");
});

test("a face that belongs to somebody else ends the session, with whose it is", () => {
  const taken = face(1, { candidates: [near(BEN, 0.8)] });
  const inputs = [1, 2, 3, 4, 5].map((at) => frame(at, taken));
  assert.deepEqual(run(inputs).effects.at(-1), {
    kind: "failed",
    code: "belongs_to_other",
    accepted: 0,
    refusals: { belongs_to_other: 5 },
    otherIdentityId: BEN,
  });
  assert.equal(
    run([...inputs.slice(0, 4), frame(9, face(1)), ...inputs.slice(4)]).session.finished,
    false,
    "only in a row",
  );
  assert.deepEqual(
    reasons(
      run(
        [1, 2, 3].map((n) => frame(n, face(n, { candidates: [near(BEN, 0.8)] }))),
        { allowDuplicate: true },
      ).effects,
    ),
    [1, 2, 3, "commit"],
  );
});

test("frames that were not embedded say nothing", () => {
  assert.deepEqual(
    run([frame(1, face(1, { embedding: undefined })), frame(2, face(1, { sourceCrop: undefined }))])
      .effects,
    [],
  );
});

test("ends by time, by command, with its camera, or with its space", () => {
  const tick = (at: number): SessionInput => ({ kind: "tick", at: monotonicMs(at) });
  assert.deepEqual(run([tick(59_999)]).effects, []);
  const ends = (input: SessionInput) =>
    run([frame(1, face(1)), input, frame(5, face(2))]).effects.slice(1);
  assert.deepEqual(ends(tick(60_000)), [
    { kind: "failed", code: "timeout", accepted: 1, refusals: {} },
  ]);
  assert.deepEqual(ends(frame(60_001, face(2))), [
    { kind: "failed", code: "timeout", accepted: 1, refusals: {} },
  ]);
  for (const code of ["cancelled", "camera_lost", "model_changed"] as const)
    assert.equal(ends({ kind: "cancel", code })[0]?.kind, "failed");
  assert.deepEqual(ends({ ...frame(3, face(2)), spaceId: "other" as SpaceId } as SessionInput), [
    { kind: "failed", code: "model_changed", accepted: 1, refusals: {} },
  ]);
});

test("wanted shots stay within what an identity may hold", () => {
  const wanted = (value: number | undefined) => {
    const { wanted: _none, ...rest } = request;
    return startSession(value === undefined ? rest : { ...rest, wanted: value }, monotonicMs(0))
      .wanted;
  };
  assert.deepEqual([wanted(undefined), wanted(0), wanted(99)], [5, 1, 8]);
});

test("every session ends exactly once, and commits only what was consistent", () => {
  const anyFace = fc.oneof(
    fc.integer({ min: 1, max: 7 }).map((axis) => face(axis)),
    fc.integer({ min: 1, max: 7 }).map((axis) => shot({ embedding: unit(axis) })),
    fc.constant(face(2, { candidates: [near(BEN, 0.9), near(ANNA, 0.8)] })),
    fc.constant(face(3, { quality: { measures: GOOD, reasons: ["dark"] } })),
  );
  const anyInput = fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.array(anyFace, { maxLength: 2 }));
  const options = EnrolmentOptions.parse({ shots: 3, timeoutMs: 30_000 });
  fc.assert(
    fc.property(fc.array(anyInput, { maxLength: 40 }), (list) => {
      let at = 0;
      const inputs = list.map(([wait, faces]) => {
        at += wait;
        return frame(at, ...faces);
      });
      const { effects } = run([...inputs, { kind: "tick", at: monotonicMs(1e6) }], { options });
      const endings = effects.filter(({ kind }) => kind !== "progress");
      assert.equal(endings.length, 1);
      assert.equal(effects.at(-1), endings[0]);
      const [ending] = endings;
      if (ending?.kind !== "commit") return;
      assert.equal(ending.shots.length, 3);
      const vectors = ending.shots.map(({ embedding }) => embedding.vector);
      for (const [index, vector] of vectors.entries()) {
        const before = vectors
          .slice(0, index)
          .map((other) => other.reduce((sum, value, i) => sum + value * (vector[i] ?? 0), 0));
        if (before.length > 0)
          assert.ok(
            before.reduce((sum, value) => sum + value, 0) / before.length >=
              options.consistencyCosineMin - 1e-6,
          );
      }
    }),
    { numRuns: 200 },
  );
});
