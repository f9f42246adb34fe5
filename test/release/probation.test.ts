import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProbationSample } from "../../src/release/ports.ts";
import { ProbationOptions, probationVerdict } from "../../src/release/probation.ts";

const options = ProbationOptions.parse({
  durationMs: 1000,
  framesMin: 10,
  p95MaxMs: 50,
  decisionsMin: 10,
});
const well: ProbationSample = {
  elapsedMs: 10,
  visionExits: 1,
  frames: 100,
  failedFrames: 2,
  p95Ms: 50,
  grants: 6,
  denials: 4,
  before: { grants: 60, denials: 40 },
  sentinel: { cosine: 0.9995, cosineMin: 0.9995 },
};
const said = (fields: Partial<ProbationSample>): string => {
  const verdict = probationVerdict({ ...well, ...fields }, options);
  return verdict.kind === "failed" ? verdict.code : verdict.kind;
};

test("a pack that does well stays on probation until its time is over", () => {
  assert.deepEqual(
    [said({}), said({ elapsedMs: 999 }), said({ elapsedMs: 1000 })],
    ["more", "more", "passed"],
  );
});

test("one that saw hardly a frame stays longer, and not for ever", () => {
  const unseen = { frames: 9, failedFrames: 0 };
  assert.deepEqual(
    [1000, 3999, 4000].map((elapsedMs) => said({ ...unseen, elapsedMs })),
    ["more", "more", "passed"],
  );
});

test("each failure has its code, also when the time is over", () => {
  const cases: readonly (readonly [Partial<ProbationSample>, string])[] = [
    [{ visionExits: 2 }, "probation_crashed"],
    [{ sentinel: { cosine: 0.9994, cosineMin: 0.9995 } }, "probation_sentinel"],
    [{ sentinel: { cosine: Number.NaN, cosineMin: 0.9995 } }, "probation_sentinel"],
    [{ failedFrames: 3 }, "probation_errors"],
    [{ p95Ms: 51 }, "probation_slow"],
    [{ grants: 1, denials: 19 }, "probation_grants"],
    [{ grants: 20, denials: 0 }, "probation_grants"],
  ];
  assert.deepEqual(
    cases.map(([fields]) => said({ ...fields, elapsedMs: 5000 })),
    cases.map(([, code]) => code),
  );
});

test("nothing is judged on too little", () => {
  assert.equal(said({ frames: 9, failedFrames: 9, p95Ms: 5000 }), "more");
  assert.equal(said({ grants: 9, denials: 0 }), "more");
  assert.equal(said({ grants: 20, denials: 0, before: { grants: 5, denials: 4 } }), "more");
  assert.equal(said({ sentinel: undefined }), "more");
});
