import assert from "node:assert/strict";
import { test } from "node:test";
import { ProbationWatch } from "../../src/control/probation.ts";
import type { Serving } from "../../src/control/serving.ts";
import type { Decision } from "../../src/decision/decision.ts";
import { type CameraId, epochMs, monotonicMs, type SpaceId } from "../../src/lib/brand.ts";
import type { ObserveMessage, SelfTestResult } from "../../src/observation/messages.ts";
import type { VisionProcess } from "../../src/vision/process.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";

const SPACE = "space-1" as SpaceId;

function rig(selfTest: () => Promise<Partial<SelfTestResult>> = async () => ({})) {
  const clock = new SimulatedClock();
  const status = { restarts: 3, loaded: { provider: "cpu" } };
  const pack = { pack: { golden: { cosineMin: { cpu: 0.999, cuda: 0.9, tensorrt: 0.9 } } } };
  const vision = { status: () => status, selfTest } as unknown as VisionProcess;
  const serving = { gallery: { spaceId: SPACE }, pack } as unknown as Serving;
  const watch = new ProbationWatch({ clock, log: new RecordingLog(), vision, serving });
  return { clock, status, watch };
}

const frame = (more: Partial<ObserveMessage> & { readonly totalMs?: number }): ObserveMessage => ({
  kind: "observe",
  cameraId: "front" as CameraId,
  spaceId: SPACE,
  sequence: 1,
  capturedAt: { monotonicMs: monotonicMs(0), epochMs: epochMs(0) },
  widthPx: 1,
  heightPx: 1,
  observations: [],
  endedTracks: [],
  timings: { detectMs: 1, embedMs: 0, totalMs: more.totalMs ?? 10 },
  ...more,
});
const embedded = { embedding: new Float32Array(1) } as ObserveMessage["observations"][number];
const decision = (outcome: "grant" | "deny") => ({ outcome }) as Decision;

test("counts from the switch on, and remembers the shares before it", async () => {
  const { clock, status, watch } = rig();
  watch.decided(decision("grant"));
  watch.decided(decision("deny"));
  status.restarts = 4;
  watch.switched();
  await clock.advance(500);
  watch.decided(decision("grant"));
  status.restarts = 5;
  const { elapsedMs, visionExits, grants, denials, before } = watch.sample();
  assert.deepEqual(
    [elapsedMs, visionExits, grants, denials, before],
    [500, 1, 1, 0, { grants: 1, denials: 1 }],
  );
});

test("few frames have faces: their times count as much as all frames'", () => {
  const { watch } = rig();
  for (let count = 0; count < 100; count += 1) watch.observed(frame({}));
  watch.observed(frame({ totalMs: 700, observations: [embedded] }));
  watch.observed(frame({ failures: 2 }));
  watch.observed(frame({ spaceId: "space-2" as SpaceId, totalMs: 9000, failures: 1 }));
  const { frames, failedFrames, p95Ms } = watch.sample();
  assert.deepEqual([frames, failedFrames, p95Ms], [102, 1, 700]);
});

test("the golden vectors' last run in the serving process, with the provider's limit", async () => {
  const signal = new AbortController().signal;
  const well = rig(async () => ({ goldenCosine: 0.9995 }));
  await well.watch.runOnce(signal);
  assert.deepEqual(well.watch.sample().sentinel, { cosine: 0.9995, cosineMin: 0.999 });
  const broken = rig();
  await broken.watch.runOnce(signal);
  assert.deepEqual(broken.watch.sample().sentinel, { cosine: -1, cosineMin: 0.999 });
  const away = rig(() => Promise.reject(new Error("gone")));
  await away.watch.runOnce(signal);
  assert.equal(away.watch.sample().sentinel, undefined);
});

test("the delay is the newest frames' middle", async () => {
  const { clock, watch } = rig();
  assert.equal(watch.delayMs, 0);
  await clock.advance(1000);
  for (const at of [990, 500, 980])
    watch.observed(frame({ capturedAt: { monotonicMs: monotonicMs(at), epochMs: epochMs(0) } }));
  assert.equal(watch.delayMs, 20);
});
