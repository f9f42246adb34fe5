import assert from "node:assert/strict";
import { test } from "node:test";
import { ARCFACE_112 } from "../src/face/align.ts";
import type { Face, QualityMeasures, QualityReason } from "../src/face/face.ts";
import type { Frame } from "../src/frame/frame.ts";
import { type CameraId, epochMs, monotonicMs, type SpaceId } from "../src/lib/brand.ts";
import { type SeeOptions, type Stages, see } from "../src/see.ts";
import { noTracks, type Tracks } from "../src/track/step.ts";

const measures: QualityMeasures = {
  eyeDistancePx: 40,
  sizePx: 80,
  sharpness: 200,
  brightness: 120,
  yaw: 0,
  pitch: 0,
  rollDegrees: 0,
  insideShare: 1,
};
const options: SeeOptions = {
  spaceId: "space" as SpaceId,
  trackLostMs: 1500,
  trackCosineMin: 0.3,
  quorumFrames: 3,
  refreshMs: 1000,
  isCollecting: false,
};
const frameAt = (ms: number): Frame => ({
  cameraId: "door" as CameraId,
  sequence: ms,
  capturedAt: { monotonicMs: monotonicMs(ms), epochMs: epochMs(1e12 + ms) },
  widthPx: 640,
  heightPx: 360,
  layout: "nv12",
  pixels: new Uint8Array(0),
});
const faceAt = (x: number): Face => ({
  box: { x, y: 0, width: 40, height: 40 },
  landmarks: ARCFACE_112,
  score: 0.9,
});

interface Scene {
  readonly faces: readonly Face[];
  readonly reasons?: readonly QualityReason[] | ((face: Face) => readonly QualityReason[]);
  readonly vector?: Float32Array<ArrayBuffer> | undefined;
  readonly budget?: number;
  readonly isEnrollable?: boolean;
  /** A second look. */
  readonly again?: (face: Face) => Face | undefined;
}

function stagesOf(scene: Scene, log: string[] = []): Stages<string> {
  let left = scene.budget ?? 100;
  return {
    detect: async () => scene.faces,
    align: (_, face) => {
      const { reasons = [] } = scene;
      if (face.box.x < 0) return undefined;
      return {
        crop: `crop-${face.box.x}`,
        measures,
        reasons: typeof reasons === "function" ? reasons(face) : reasons,
        isEnrollable: scene.isEnrollable ?? true,
      };
    },
    mayEmbed: () => {
      left -= 1;
      return left >= 0;
    },
    lookAgain: async (_, face) => (scene.again === undefined ? face : scene.again(face)),
    embed: async (crop) => {
      log.push(crop);
      return "vector" in scene ? scene.vector : Float32Array.from([1, 0]);
    },
    sourceCrop: (_, face) => ({ png: new Uint8Array(8), landmarks: [...face.landmarks] }),
    nowMs: () => 0,
  };
}

async function watch(scenes: readonly Scene[], change: Partial<SeeOptions> = {}, stepMs = 100) {
  let tracks: Tracks = noTracks("t");
  const embedded: string[][] = [];
  const messages = [];
  for (const [index, scene] of scenes.entries()) {
    const log: string[] = [];
    const seen = await see(
      frameAt(index * stepMs),
      tracks,
      { ...options, ...change },
      stagesOf(scene, log),
    );
    tracks = seen.tracks;
    embedded.push(log);
    messages.push(seen.message);
  }
  return { embedded: embedded.map((log) => log.length), messages };
}

test("a still face is embedded up to the quorum, then once per refresh", async () => {
  const { embedded } = await watch(Array.from({ length: 15 }, () => ({ faces: [faceAt(0)] })));
  assert.deepEqual(embedded, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
});

test("a face that is not good enough is reported with its reasons and never embedded", async () => {
  const { embedded, messages } = await watch([{ faces: [faceAt(0)], reasons: ["blurred"] }]);
  assert.deepEqual(embedded, [0]);
  assert.deepEqual(messages[0]?.observations[0]?.quality.reasons, ["blurred"]);
  assert.equal(messages[0]?.observations[0]?.embedding, undefined);
});

test("what is embedded is aligned by a second look, and that look is what is told and kept", async () => {
  const again = (face: Face): Face => ({ ...face, box: { ...face.box, x: face.box.x + 1 } });
  const { embedded, messages } = await watch([{ faces: [faceAt(0)], again }], {
    isCollecting: true,
  });
  assert.deepEqual(embedded, [1]);
  assert.equal(messages[0]?.observations[0]?.face.box.x, 1);
  assert.ok(messages[0]?.observations[0]?.sourceCrop !== undefined);
});

test("a face that a second look finds unusable is not embedded; one that was unusable gets none", async () => {
  const turned = (face: Face): Face => ({ ...face, score: 0.1 });
  const unusable = await watch([
    { faces: [faceAt(0)], again: turned, reasons: ({ score }) => (score < 0.5 ? ["turned"] : []) },
  ]);
  assert.deepEqual(unusable.embedded, [0]);
  assert.deepEqual(unusable.messages[0]?.observations[0]?.quality.reasons, ["turned"]);
  const never = (): Face => assert.fail("looked at again");
  const { embedded } = await watch([
    { faces: [faceAt(0)], again: never, reasons: ["blurred"] },
    { faces: [faceAt(0)], again: never, budget: 0 },
  ]);
  assert.deepEqual(embedded, [0, 0]);
});

test("a face that is not found again, or cannot be aligned then, is neither embedded nor kept", async () => {
  const nowhere = (face: Face): Face => ({ ...face, box: { ...face.box, x: -1000 } });
  for (const again of [nowhere, () => undefined]) {
    const collecting = { isCollecting: true };
    const { embedded, messages } = await watch([{ faces: [faceAt(0)], again }], collecting);
    const [observation] = messages[0]?.observations ?? [];
    assert.deepEqual(embedded, [0]);
    assert.deepEqual(observation?.quality.reasons, ["landmarks"]);
    assert.deepEqual([observation?.embedding, observation?.sourceCrop], [undefined, undefined]);
  }
});

test("when the budget ends, newcomers go before people who were seen already", async () => {
  const { messages } = await watch([
    { faces: [faceAt(0)] },
    { faces: [faceAt(0)] },
    { faces: [faceAt(0), faceAt(300)], budget: 1 },
  ]);
  const [old, fresh] = messages[2]?.observations ?? [];
  assert.equal(old?.embedding, undefined);
  assert.ok(fresh?.embedding !== undefined);
});

test("a vector that is no number leaves the face without one, and is counted", async () => {
  const { messages } = await watch([
    { faces: [faceAt(0)], vector: undefined },
    { faces: [faceAt(0)] },
  ]);
  assert.deepEqual(
    messages.map(({ failures }) => failures),
    [1, undefined],
  );
  assert.equal(messages[0]?.observations[0]?.embedding, undefined);
  assert.equal(messages[0]?.observations.length, 1);
});

test("somebody else in the same place gets a track of their own, and the old one ends", async () => {
  const { messages } = await watch([
    { faces: [faceAt(0)] },
    { faces: [faceAt(0)], vector: Float32Array.from([-1, 0]) },
  ]);
  assert.equal(messages[0]?.observations[0]?.trackId, "t-1");
  assert.equal(messages[1]?.observations[0]?.trackId, "t-2");
  assert.deepEqual(messages[1]?.endedTracks, ["t-1"]);
});

test("while collecting, every enrollable shot is embedded and comes with its source crop", async () => {
  const scenes = Array.from({ length: 6 }, () => ({ faces: [faceAt(0)] }));
  const { embedded, messages } = await watch(scenes, { isCollecting: true });
  assert.deepEqual(embedded, [1, 1, 1, 1, 1, 1]);
  assert.ok(messages.every(({ observations }) => observations[0]?.sourceCrop !== undefined));
  const usual = await watch(scenes);
  assert.ok(usual.messages.every(({ observations }) => observations[0]?.sourceCrop === undefined));
  const poor = await watch([{ faces: [faceAt(0)], isEnrollable: false }], { isCollecting: true });
  assert.equal(poor.messages[0]?.observations[0]?.sourceCrop, undefined);
});

test("an empty frame ends tracks that were lost", async () => {
  const { messages } = await watch(
    [{ faces: [faceAt(0)] }, { faces: [] }, { faces: [] }],
    {},
    1000,
  );
  assert.deepEqual(
    messages.map(({ endedTracks }) => endedTracks),
    [[], [], ["t-1"]],
  );
});
