import assert from "node:assert/strict";
import { test } from "node:test";
import { type EvidenceInput, noEvidence, step } from "../../src/decision/evidence.ts";
import { viewOf } from "../../src/decision/view.ts";
import { type Cosine, monotonicMs, type TrackId } from "../../src/lib/brand.ts";
import type { Match } from "../../src/match/match.ts";
import { ANNA, CAMERA, decisionOptions, matched, SPACE, UNKNOWN } from "../support/decision.ts";

const threshold = { kind: "threshold", cosine: 0.5 as Cosine, source: "floor" } as const;
const frames = (count: number, match: Match): readonly EvidenceInput[] =>
  Array.from({ length: count }, (_, index) => ({
    kind: "frame",
    at: monotonicMs(index),
    spaceId: SPACE,
    match,
    weight: 1,
  }));
const after = (inputs: readonly EvidenceInput[]) =>
  inputs.reduce(
    (evidence, input) => step(evidence, input, decisionOptions).evidence,
    noEvidence(SPACE),
  );
const view = (inputs: readonly EvidenceInput[], quality: readonly string[] = [], best?: number) =>
  viewOf(CAMERA, "t1" as TrackId, after(inputs), threshold, quality, best as Cosine | undefined);

test("the status follows the evidence", () => {
  assert.deepEqual(view([]), {
    cameraId: CAMERA,
    trackId: "t1",
    status: "collecting",
    scoreBand: "none",
    quality: [],
    frames: 0,
  });
  assert.equal(view([], ["dark"]).status, "unusable");
  assert.deepEqual(view(frames(3, matched(ANNA)), [], 0.8), {
    cameraId: CAMERA,
    trackId: "t1",
    status: "identified",
    identityId: ANNA,
    scoreBand: "high",
    quality: [],
    frames: 3,
  });
  assert.equal(view(frames(5, UNKNOWN), [], 0.45).status, "unknown");
  assert.equal(view(frames(5, UNKNOWN), [], 0.45).scoreBand, "near");
  assert.equal(
    view([...frames(3, matched(ANNA)), { kind: "ended", at: monotonicMs(9) }]).status,
    "ended",
  );
});
