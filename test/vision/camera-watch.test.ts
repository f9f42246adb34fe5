import assert from "node:assert/strict";
import { test } from "node:test";
import type { CapturedAt } from "../../src/frame/frame.ts";
import { type CameraId, epochMs, monotonicMs } from "../../src/lib/brand.ts";
import { CameraWatch, COUNTER, COUNTERS } from "../../src/vision/camera-watch.ts";

const at = (ms: number): CapturedAt => ({ monotonicMs: monotonicMs(ms), epochMs: epochMs(ms) });
const noise = (seed: number): Uint8Array =>
  Uint8Array.from({ length: 10_000 }, (_, i) => (i * 31 + seed * 17) % 256);

function watch() {
  const counters = new Float64Array(COUNTERS);
  return { counters, watch: new CameraWatch("door" as CameraId, counters) };
}

test("frames a second, whatever the reporting time", () => {
  const { watch: camera } = watch();
  for (let i = 0; i < 40; i += 1) camera.received(i * 100, noise(i), at(5000 + i * 100));
  const { fps, framesReceived, driftMs, frozenMs } = camera.health(0, monotonicMs(8900));
  assert.ok(Math.abs(fps - 10) < 0.01);
  assert.deepEqual([framesReceived, driftMs, frozenMs], [40, 0, 0]);
  assert.equal(camera.health(0, monotonicMs(60_000)).fps, 0);
});

test("frames that were held up and come at once are no more frames a second", () => {
  const { watch: camera } = watch();
  for (let i = 0; i < 20; i += 1) camera.received(i * 100, noise(i), at(5000 + i * 100));
  // Two and a half seconds of silence, then all of them within a third of a second.
  for (let i = 20; i < 46; i += 1) camera.received(i * 100, noise(i), at(9500 + (i - 20) * 13));
  const { fps } = camera.health(0, monotonicMs(9850));
  assert.ok(fps > 8 && fps < 11, `${fps}`);
});

test("drift is how much later frames come than their times say", () => {
  const { watch: camera } = watch();
  for (let i = 0; i < 20; i += 1) camera.received(i * 100, noise(i), at(i * 150));
  assert.equal(camera.health(0, monotonicMs(3000)).driftMs, 19 * 50);
});

test("a picture that does not change is frozen for as long; one that does is not", () => {
  const { watch: camera } = watch();
  for (let i = 0; i <= 30; i += 1) camera.received(i * 100, noise(1), at(i * 100));
  assert.equal(camera.health(0, monotonicMs(3000)).frozenMs, 3000);
  camera.received(3100, noise(2), at(3100));
  assert.equal(camera.health(0, monotonicMs(3100)).frozenMs, 0);
});

test("drops of both threads are added; age only once something was processed", () => {
  const { watch: camera, counters } = watch();
  assert.equal(camera.health(3, monotonicMs(0)).ageMs, undefined);
  camera.dropped();
  camera.skipped();
  counters[COUNTER.dropped] = 5;
  counters[COUNTER.processed] = 2;
  counters[COUNTER.ageMs] = 12;
  const health = camera.health(3, monotonicMs(0));
  assert.deepEqual(
    [
      health.framesDropped,
      health.framesReceived,
      health.framesProcessed,
      health.ageMs,
      health.resyncs,
    ],
    [7, 1, 2, 12, 3],
  );
});
