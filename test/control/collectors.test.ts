import assert from "node:assert/strict";
import { test } from "node:test";
import { Collectors } from "../../src/control/collectors.ts";
import type { CameraId } from "../../src/lib/brand.ts";
import type { ObserveMessage } from "../../src/observation/messages.ts";

const hall = "hall" as CameraId;
const seen = (cameraId: CameraId): ObserveMessage =>
  ({
    cameraId,
    spaceId: "s",
    observations: [],
    capturedAt: { monotonicMs: 5, epochMs: 6 },
  }) as unknown as ObserveMessage;

function collectors(): {
  readonly asked: (readonly [CameraId, boolean])[];
  readonly them: Collectors;
} {
  const asked: [CameraId, boolean][] = [];
  return { asked, them: new Collectors((cameraId, active) => asked.push([cameraId, active])) };
}

test("vision is asked once for the first listener and told to stop after the last", () => {
  const { asked, them } = collectors();
  const first = them.collect(hall, () => undefined);
  const second = them.collect(hall, () => undefined);
  first();
  first();
  assert.deepEqual(asked, [[hall, true]]);
  second();
  assert.deepEqual(asked, [
    [hall, true],
    [hall, false],
  ]);
});

test("frames reach the listeners of their camera only", () => {
  const { them } = collectors();
  const frames: number[] = [];
  them.collect(hall, (frame) => frames.push(frame.capturedAtMs));
  them.observe(seen(hall));
  them.observe(seen("yard" as CameraId));
  assert.deepEqual(frames, [5]);
});

test("a new vision process is asked again for what still runs", () => {
  const { asked, them } = collectors();
  them.collect(hall, () => undefined);
  them.visionBack();
  assert.deepEqual(asked, [
    [hall, true],
    [hall, true],
  ]);
});
