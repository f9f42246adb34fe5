import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EnrolmentOptions } from "../../src/enrolment/options.ts";
import { judgeShot, meanCosine, type ShotContext } from "../../src/enrolment/shot.ts";
import { ANNA, BEN, GOOD, SPACE, unit } from "../support/decision.ts";
import { CROP, context, near, shot } from "../support/enrolment.ts";

const judged = (fields: Parameters<typeof shot>[0] = {}, change: Partial<ShotContext> = {}) => {
  const judgement = judgeShot(shot(fields), { ...context, ...change });
  return judgement.kind === "accepted" ? "accepted" : judgement.code;
};

test("a good shot of nobody known is taken, with its crop", () => {
  assert.deepEqual(judgeShot(shot(), context), {
    kind: "accepted",
    shot: { embedding: { spaceId: SPACE, vector: unit(1) }, sourceCrop: CROP },
  });
});

test("a site that keeps no crops gets none", () => {
  const options = EnrolmentOptions.parse({ keepSourceCrops: false });
  assert.deepEqual(judgeShot(shot(), { ...context, options }), {
    kind: "accepted",
    shot: { embedding: { spaceId: SPACE, vector: unit(1) } },
  });
  assert.equal(judged({ sourceCrop: undefined }, { options }), "accepted");
});

test("probe quality is not enough: reasons of both limits, each once", () => {
  const measures = { ...GOOD, eyeDistancePx: 20, yaw: 0.5 };
  assert.deepEqual(
    judgeShot(shot({ quality: { measures, reasons: ["turned", "landmarks"] } }), context),
    {
      kind: "refused",
      code: "low_quality",
      reasons: ["turned", "landmarks"],
    },
  );
  assert.equal(
    judged({ quality: { measures: { ...GOOD, sharpness: Number.NaN }, reasons: [] } }),
    "low_quality",
  );
});

test("without embedding or crop it is merely not ready", () => {
  assert.equal(judged({ embedding: undefined }), "not_ready");
  assert.equal(judged({ sourceCrop: undefined }), "not_ready");
});

test("a face that belongs to somebody else is refused, with whose it is", () => {
  const candidates = [near(ANNA, 0.9), near(BEN, 0.5)];
  assert.deepEqual(judgeShot(shot({ candidates }), context), {
    kind: "refused",
    code: "belongs_to_other",
    reasons: [],
    otherIdentityId: BEN,
  });
  assert.equal(judged({ candidates: [near(BEN, 0.49)] }), "accepted");
  assert.equal(judged({ candidates: [near(ANNA, 0.99)] }), "accepted");
  assert.equal(judged({ candidates: [near(BEN, Number.NaN)] }), "belongs_to_other");
  assert.equal(judged({ candidates }, { allowDuplicate: true }), "accepted");
  assert.equal(
    judged({ candidates }, { options: EnrolmentOptions.parse({ duplicateCheck: false }) }),
    "accepted",
  );
});

test("without a threshold nobody can tell whose face it is", () => {
  const threshold = { kind: "none", reason: "not_calibrated" } as const;
  assert.equal(judged({ candidates: [near(BEN, 0.1)] }, { threshold }), "not_calibrated");
  assert.equal(judged({ candidates: [] }, { threshold }), "accepted");
  assert.equal(
    judged({ candidates: [near(BEN, 0.1)] }, { threshold, allowDuplicate: true }),
    "accepted",
  );
});

test("a vector that is no unit vector is a fault", () => {
  for (const embedding of [
    new Float32Array(8),
    unit(1).fill(Number.NaN),
    unit(1).map((value) => value * 3),
  ]) {
    assert.throws(() => judgeShot(shot({ embedding }), context), { code: "not_finite" });
  }
});

test("nobody takes over a face above the threshold, unless told", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(ANNA, BEN), fc.double({ min: -1, max: 1, noNaN: true })), {
        maxLength: 8,
      }),
      (list) => {
        const candidates = list
          .map(([id, cosine]) => near(id, cosine))
          .sort((a, b) => b.cosine - a.cosine);
        const taken = candidates.some(
          ({ identityId, cosine }) => identityId === BEN && cosine >= 0.5,
        );
        assert.equal(judged({ candidates }), taken ? "belongs_to_other" : "accepted");
      },
    ),
  );
});

test("mean cosine", () => {
  assert.equal(meanCosine(unit(1), []), undefined);
  assert.equal(meanCosine(unit(1), [unit(1), unit(2)]), 0.5);
});
