import assert from "node:assert/strict";
import { test } from "node:test";
import { ARCFACE_112 } from "../../src/face/align.ts";
import { epochMs, monotonicMs, type TrackId } from "../../src/lib/brand.ts";
import { shotReason } from "../../src/track/best-shot.ts";
import type { TrackMemory } from "../../src/track/step.ts";

const at = { monotonicMs: monotonicMs(0), epochMs: epochMs(0) };
const track: TrackMemory = {
  id: "t-1" as TrackId,
  face: { box: { x: 0, y: 0, width: 1, height: 1 }, landmarks: ARCFACE_112, score: 1 },
  startedAt: at,
  seenAt: at,
  hits: 5,
  velocity: { x: 0, y: 0 },
  embedded: 3,
  bestScore: 0.5,
  embeddedAtMs: 1000,
  look: undefined,
  doubtful: false,
};
const rules = { quorumFrames: 3, refreshMs: 1000 };

test("every shot until the quorum, then only better, doubtful or stale ones", () => {
  assert.equal(shotReason({ ...track, embedded: 2 }, 0.1, 1100, rules), "quorum");
  assert.equal(shotReason(track, 0.5, 1100, rules), undefined);
  assert.equal(shotReason(track, 0.56, 1100, rules), "better");
  assert.equal(shotReason({ ...track, doubtful: true }, 0.1, 1100, rules), "doubtful");
  assert.equal(shotReason(track, 0.1, 1999, rules), undefined);
  assert.equal(shotReason(track, 0.1, 2000, rules), "refresh");
});
