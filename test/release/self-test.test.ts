import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type SelfTestMeasured,
  SelfTestOptions,
  selfTestVerdict,
} from "../../src/release/self-test.ts";

const options = SelfTestOptions.parse({ p95MaxMs: 100, rssMaxBytes: 1000 });
const well: SelfTestMeasured = {
  provider: "cpu",
  goldenCosine: 0.9999,
  isRepeatable: true,
  p95Ms: 100,
  rssBytes: 1000,
};
const codeOf = (fields: Partial<SelfTestMeasured>): string => {
  const verdict = selfTestVerdict({ ...well, ...fields }, 0.999, options);
  return verdict.kind === "passed" ? "passed" : verdict.code;
};

test("passes at its limits", () => {
  assert.deepEqual(selfTestVerdict(well, 0.999, options), {
    kind: "passed",
    goldenCosine: 0.9999,
  });
});

test("each failure has its code", () => {
  const cases: readonly (readonly [Partial<SelfTestMeasured>, string])[] = [
    [{ goldenCosine: undefined }, "self_test_golden"],
    [{ goldenCosine: 0.998 }, "self_test_golden"],
    [{ goldenCosine: Number.NaN }, "self_test_golden"],
    [{ isRepeatable: false }, "self_test_unstable"],
    [{ p95Ms: 101 }, "self_test_slow"],
    [{ p95Ms: Number.NaN }, "self_test_slow"],
    [{ rssBytes: 1001 }, "self_test_memory"],
  ];
  assert.deepEqual(
    cases.map(([fields]) => codeOf(fields)),
    cases.map(([, code]) => code),
  );
});

test("accelerators need not repeat bit by bit", () => {
  assert.equal(codeOf({ provider: "cuda", isRepeatable: false }), "passed");
});
