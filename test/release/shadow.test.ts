import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { IdentityId } from "../../src/lib/brand.ts";
import {
  addFrame,
  NO_SHADOW,
  type ShadowAnswer,
  type ShadowFace,
  type ShadowFrame,
  ShadowOptions,
  shadowStatsOf,
  shadowVerdict,
  shedFrames,
} from "../../src/release/shadow.ts";

const ANNA = "anna" as IdentityId;
const BEN = "ben" as IdentityId;
const options = ShadowOptions.parse({
  framesMin: 4,
  comparedMin: 4,
  durationMinMs: 1000,
  durationMaxMs: 10_000,
});
const face = (answer?: ShadowAnswer, x = 0): ShadowFace => ({
  box: { x, y: 0, width: 10, height: 10 },
  answer,
});
const frame = (
  active: readonly ShadowFace[],
  candidate: readonly ShadowFace[],
  candidateMs = 10,
): ShadowFrame => ({
  active: { faces: active, ms: 5 },
  candidate: { faces: candidate, ms: candidateMs },
});
const tallied = (frames: readonly ShadowFrame[]) => frames.reduce(addFrame, NO_SHADOW);
const said = (frames: readonly ShadowFrame[], elapsedMs = 2000): string => {
  const verdict = shadowVerdict(shadowStatsOf(tallied(frames)), elapsedMs, options);
  return verdict.kind === "failed" ? verdict.code : verdict.kind;
};
const times = (count: number, one: ShadowFrame): ShadowFrame[] => Array(count).fill(one);
const agreeing = frame(
  [face({ identityId: ANNA, margin: 0.2 })],
  [face({ identityId: ANNA, margin: 0.25 }, 1)],
);

test("faces are paired by overlap, each once", () => {
  const stats = shadowStatsOf(
    tallied([frame([face(), face(undefined, 100)], [face(undefined, 2), face(undefined, 3)])]),
  );
  // Two and two, of which one pair: three different faces.
  assert.equal(stats.faceAgreement, 1 / 3);
  assert.equal(stats.compared, 0);
});

test("agreement counts faces that both embedded: the same person, or nobody", () => {
  const stats = shadowStatsOf(
    tallied([
      agreeing,
      frame([face({ margin: -0.3 })], [face({ margin: -0.1 })]),
      frame([face({ identityId: ANNA })], [face({ identityId: BEN })]),
      frame([face({ identityId: ANNA })], [face({})]),
      frame([face({})], [face()]),
    ]),
  );
  assert.deepEqual([stats.compared, stats.identityAgreement], [4, 0.5]);
});

test("the score shift is that of people whom the serving pack knows", () => {
  const stats = shadowStatsOf(
    tallied([
      agreeing,
      frame([face({ identityId: ANNA, margin: 0.2 })], [face({ margin: -0.05 })]),
      frame([face({ margin: -0.9 })], [face({ margin: 0.5 })]),
    ]),
  );
  assert.ok(Math.abs(stats.scoreShift - (0.05 - 0.25) / 2) < 1e-9, String(stats.scoreShift));
});

test("statistics of nothing, and what was shed", () => {
  assert.deepEqual(shadowStatsOf(shedFrames(NO_SHADOW, 3)), {
    frames: 0,
    faceAgreement: 1,
    compared: 0,
    identityAgreement: 1,
    scoreShift: 0,
    activeP95Ms: 0,
    candidateP95Ms: 0,
    shed: 3,
  });
});

test("a good candidate passes when enough was seen for long enough", () => {
  assert.deepEqual(
    [said(times(3, agreeing)), said(times(4, agreeing), 999), said(times(4, agreeing), 1000)],
    ["more", "more", "passed"],
  );
});

test("a worse one fails as soon as there is enough, each way with its code", () => {
  const known = { identityId: ANNA, margin: 0.3 };
  const cases: readonly (readonly [ShadowFrame, string])[] = [
    [frame([face(known), face(known, 100)], [face(known)]), "shadow_faces"],
    [frame([face(known)], [face({ margin: -0.2 })]), "shadow_identities"],
    [frame([face(known)], [face({ identityId: ANNA, margin: 0.1 })]), "shadow_scores"],
    [frame([face(known)], [face(known)], 5000), "shadow_slow"],
  ];
  assert.deepEqual(
    cases.map(([one]) => said(times(4, one), 1)),
    cases.map(([, code]) => code),
  );
  assert.deepEqual(
    cases.map(([one]) => said(times(3, one), 1)),
    cases.map(() => "more"),
  );
});

test("with too few faces it ends without an answer", () => {
  assert.equal(said(times(3, agreeing), 10_000), "shadow_too_few");
  assert.equal(said(times(9, frame([], [])), 10_000), "shadow_too_few");
});

test("shares stay shares, and the order of frames does not matter", () => {
  const answer = fc.option(
    fc.record(
      {
        identityId: fc.constantFrom(ANNA, BEN),
        margin: fc.double({ min: -1, max: 1, noNaN: true }),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  );
  const faces = fc.array(
    fc.tuple(answer, fc.integer({ min: 0, max: 60 })).map(([said, x]) => face(said, x)),
    { maxLength: 4 },
  );
  const frames = fc.array(
    fc.tuple(faces, faces).map(([active, candidate]) => frame(active, candidate)),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(frames, (seen) => {
      const stats = shadowStatsOf(tallied(seen));
      for (const share of [stats.faceAgreement, stats.identityAgreement])
        assert(share >= 0 && share <= 1, String(share));
      assert.equal(stats.frames, seen.length);
      const other = shadowStatsOf(tallied(seen.toReversed()));
      assert.deepEqual(
        { ...other, scoreShift: other.scoreShift.toFixed(9) },
        { ...stats, scoreShift: stats.scoreShift.toFixed(9) },
      );
    }),
  );
});
