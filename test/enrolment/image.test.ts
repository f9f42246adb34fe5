import assert from "node:assert/strict";
import { test } from "node:test";
import { faceOf, type ImageContext, judgeImage } from "../../src/enrolment/image.ts";
import type { Candidate } from "../../src/gallery/index-port.ts";
import type { AnalysedFace } from "../../src/observation/messages.ts";
import { ANNA, BEN, GOOD, unit } from "../support/decision.ts";
import { CROP, context, near } from "../support/enrolment.ts";

function face(widthPx: number, fields: Partial<AnalysedFace> = {}): AnalysedFace {
  return {
    face: {
      box: { x: 0, y: 0, width: widthPx, height: widthPx },
      landmarks: CROP.landmarks,
      score: 0.9,
    },
    quality: { measures: { ...GOOD }, reasons: [] },
    embedding: unit(1),
    sourceCrop: CROP,
    ...fields,
  };
}
const judged = (
  candidates: readonly Candidate[],
  change: Partial<ImageContext> = {},
  one = face(100),
) => {
  const judgement = judgeImage(one, candidates, {
    ...context,
    largest: false,
    ownTemplates: 0,
    ...change,
  });
  return judgement.kind === "accepted" ? "accepted" : judgement.code;
};

test("exactly one face, or the largest when told", () => {
  assert.deepEqual(faceOf([], true), { kind: "refused", code: "no_face", reasons: [] });
  assert.deepEqual(faceOf([face(10)], false), { kind: "face", index: 0 });
  assert.deepEqual(faceOf([face(10), face(30), face(20)], false), {
    kind: "refused",
    code: "several_faces",
    reasons: [],
  });
  assert.deepEqual(faceOf([face(10), face(30), face(20)], true), { kind: "face", index: 1 });
});

test("what has no possible landmarks does not count beside a face, but is judged when alone", () => {
  const doubtful = (widthPx: number) =>
    face(widthPx, { quality: { measures: { ...GOOD }, reasons: ["landmarks"] } });
  assert.deepEqual(faceOf([doubtful(30), face(10)], false), { kind: "face", index: 1 });
  assert.deepEqual(faceOf([doubtful(30), face(10)], true), { kind: "face", index: 1 });
  assert.deepEqual(faceOf([doubtful(30)], false), { kind: "face", index: 0 });
  assert.equal(faceOf([doubtful(30), doubtful(20)], false).kind, "refused");
  assert.equal(judged([], {}, doubtful(30)), "low_quality");
});

test("the first picture of a person, and a further one that resembles", () => {
  assert.equal(judged([]), "accepted");
  assert.equal(judged([near(ANNA, 0.8)], { ownTemplates: 2 }), "accepted");
  assert.equal(judged([near(ANNA, 0.39)], { ownTemplates: 2 }), "different_person");
  assert.equal(
    judged([near(BEN, 0.3)], { ownTemplates: 2 }),
    "different_person",
    "not among the nearest at all",
  );
});

test("quality and ownership come first", () => {
  assert.equal(judged([near(BEN, 0.9), near(ANNA, 0.2)], { ownTemplates: 1 }), "belongs_to_other");
  assert.equal(
    judged([], {}, face(100, { quality: { measures: { ...GOOD }, reasons: ["blurred"] } })),
    "low_quality",
  );
  const { embedding: _none, ...bare } = face(100);
  assert.equal(judged([], {}, bare), "not_ready");
});
