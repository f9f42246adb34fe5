import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Identified, Missed } from "../../src/decision/evidence.ts";
import { type Circumstances, decisionOf, judge } from "../../src/decision/judge.ts";
import { AccessRules } from "../../src/decision/rules.ts";
import {
  type CameraId,
  type Cosine,
  epochMs,
  monotonicMs,
  type TrackId,
} from "../../src/lib/brand.ts";
import { ANNA, BEN, CAMERA, DOOR, openRules, person } from "../support/decision.ts";

const fine: Circumstances = {
  rules: openRules(),
  doorId: DOOR,
  mode: "normal",
  at: epochMs(1_000_000),
  threshold: { kind: "threshold", cosine: 0.5 as Cosine, source: "table" },
  galleryEmpty: false,
  demoOnly: false,
  degraded: false,
  clockTrusted: true,
};
const strict = { requireTrustedClock: true, decisionTtlMs: 5000 };
const identified: Identified = {
  kind: "identified",
  identityId: ANNA,
  frames: 3,
  bestCosine: 0.7 as Cosine,
  firstUsableAt: monotonicMs(5),
};
const unknown: Missed = { kind: "unknown", frames: 5, quality: [], bestCosine: 0.45 as Cosine };
const uncalibrated = { kind: "none", reason: "not_calibrated" } as const;

test("all conditions met: granted", () => {
  assert.deepEqual(judge(identified, person(ANNA), fine, strict), {
    outcome: "grant",
    reason: "allowed",
    identityId: ANNA,
  });
});

test("each condition alone denies, with its reason, in a fixed order", () => {
  const reason = (change: Partial<Circumstances>, identity = person(ANNA)) =>
    judge(identified, identity, { ...fine, ...change }, strict).reason;
  assert.equal(reason({ threshold: uncalibrated }), "not_calibrated");
  assert.equal(reason({ demoOnly: true }), "demo_only");
  assert.equal(reason({ degraded: true }), "degraded");
  assert.equal(reason({ clockTrusted: false }), "clock_not_trusted");
  assert.equal(reason({ mode: "lockdown" }), "lockdown");
  assert.equal(reason({ rules: AccessRules.parse({}) }), "no_rule");
  assert.equal(reason({}, person(ANNA, { enabled: false })), "identity_disabled");
  assert.equal(
    reason({ threshold: uncalibrated, degraded: true, clockTrusted: false, mode: "lockdown" }),
    "not_calibrated",
  );
  assert.equal(reason({ demoOnly: true, degraded: true, clockTrusted: false }), "demo_only");
  assert.equal(reason({ degraded: true, clockTrusted: false, mode: "lockdown" }), "degraded");
  assert.equal(reason({ clockTrusted: false, mode: "lockdown" }), "clock_not_trusted");
});

test("a site may grant by a clock that is not trusted, if it says so", () => {
  const loose = { ...strict, requireTrustedClock: false };
  assert.equal(
    judge(identified, person(ANNA), { ...fine, clockTrusted: false }, loose).outcome,
    "grant",
  );
});

test("nobody is granted who was erased, or by the record of somebody else", () => {
  assert.deepEqual(judge(identified, undefined, fine, strict), {
    outcome: "deny",
    reason: "unknown",
  });
  assert.deepEqual(judge(identified, person(BEN), fine, strict), {
    outcome: "deny",
    reason: "unknown",
  });
});

test("misses keep their reason; without a threshold unknown means not calibrated, unless nobody is enrolled", () => {
  for (const kind of [
    "unknown",
    "disagreement",
    "too_few_frames",
    "unusable",
    "too_many_attempts",
  ] as const) {
    assert.deepEqual(judge({ ...unknown, kind }, person(ANNA), fine, strict), {
      outcome: "deny",
      reason: kind,
    });
  }
  assert.equal(
    judge(unknown, undefined, { ...fine, threshold: uncalibrated }, strict).reason,
    "not_calibrated",
  );
  assert.equal(
    judge(unknown, undefined, { ...fine, threshold: uncalibrated, galleryEmpty: true }, strict)
      .reason,
    "unknown",
  );
});

test("a grant needs every condition at once", () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (calibrated, degraded, clockTrusted, lockdown, enabled) => {
        const now: Circumstances = {
          ...fine,
          degraded,
          clockTrusted,
          mode: lockdown ? "lockdown" : "normal",
          ...(!calibrated && { threshold: uncalibrated }),
        };
        const isGranted =
          judge(identified, person(ANNA, { enabled }), now, strict).outcome === "grant";
        assert.equal(isGranted, calibrated && !degraded && clockTrusted && !lockdown && enabled);
      },
    ),
  );
});

test("a decision as it goes onto the feeds", () => {
  const stamp = { id: "d1", doorId: DOOR, cameraId: CAMERA as CameraId, trackId: "t1" as TrackId };
  assert.deepEqual(decisionOf(identified, person(ANNA), fine, stamp, strict), {
    ...stamp,
    issuedAt: 1_000_000,
    expiresAt: 1_005_000,
    firstUsableAt: 5,
    scoreBand: "high",
    frames: 3,
    outcome: "grant",
    reason: "allowed",
    identityId: ANNA,
  });
  assert.deepEqual(
    decisionOf(
      { ...unknown, kind: "unusable", quality: ["blurred", "dark"] },
      undefined,
      fine,
      stamp,
      strict,
    ),
    {
      ...stamp,
      issuedAt: 1_000_000,
      expiresAt: 1_005_000,
      scoreBand: "near",
      frames: 5,
      outcome: "deny",
      reason: "unusable",
      quality: ["blurred", "dark"],
    },
  );
});
