import assert from "node:assert/strict";
import { test } from "node:test";
import type { CameraId } from "../../src/lib/brand.ts";
import { FrameSampler } from "../../src/vision/sampler.ts";

const [FRONT, BACK] = ["front" as CameraId, "back" as CameraId];
const sampler = () => new FrameSampler({ everyMs: 100, frameAgeMaxMs: 50 });

test("a frame with a face at most once per period and camera, one without seldom", () => {
  const all = sampler();
  assert.deepEqual(
    [
      all.takes(FRONT, 0, 5, true),
      all.takes(FRONT, 99, 5, true),
      all.takes(BACK, 99, 5, true),
      all.takes(FRONT, 100, 5, true),
      all.takes(FRONT, 1000, 5, false),
      all.takes(FRONT, 1100, 5, false),
      all.takes(FRONT, 1150, 5, true),
    ],
    [true, false, true, true, false, true, false],
  );
});

test("a frame that waited is shed and counted, and its period passes", () => {
  const all = sampler();
  assert.deepEqual(
    [all.takes(FRONT, 0, 51, true), all.takes(FRONT, 50, 5, true), all.takes(FRONT, 100, 50, true)],
    [false, false, true],
  );
  assert.equal(all.shedCount, 1);
});
