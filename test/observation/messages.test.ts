import assert from "node:assert/strict";
import { test } from "node:test";
import { FromVision, IPC_VERSION, VisionOptions } from "../../src/observation/messages.ts";

const point = { x: 1, y: 2 };
const measures = {
  eyeDistancePx: 30,
  sizePx: 60,
  sharpness: 100,
  brightness: 120,
  yaw: 0,
  pitch: 0,
  rollDegrees: 0,
  insideShare: 1,
};
const observation = {
  trackId: "t-1",
  face: {
    box: { x: 0, y: 0, width: 60, height: 80 },
    landmarks: [point, point, point, point, point],
    score: 0.9,
  },
  quality: { measures, reasons: [] },
  embedding: new Float32Array(256),
};
const observe = {
  kind: "observe",
  cameraId: "door",
  spaceId: "space",
  sequence: 1,
  capturedAt: { monotonicMs: 1, epochMs: 2 },
  widthPx: 1280,
  heightPx: 720,
  observations: [observation],
  endedTracks: ["t-0"],
  timings: { detectMs: 1, embedMs: 1, totalMs: 2 },
};

test("what vision sends passes", () => {
  assert.ok(FromVision.safeParse(observe).success);
  assert.ok(
    FromVision.safeParse({ kind: "stream-header", cameraId: "door", bytes: new Uint8Array(10) })
      .success,
  );
  const ping = {
    kind: "ping",
    requestId: 1,
    result: { data: { version: IPC_VERSION, rssBytes: 1, progress: 2 } },
  };
  assert.ok(FromVision.safeParse(ping).success);
});

const sample = {
  kind: "sample",
  frame: { cameraId: "door", widthPx: 2, heightPx: 2, pixels: new Uint8Array(6) },
  look: {
    spaceId: "space",
    faces: [{ box: observation.face.box, reasons: [], embedding: new Float32Array(256) }],
    totalMs: 3,
  },
  shed: 0,
};

test("sampled frames and self-tests pass", () => {
  assert.ok(FromVision.safeParse(sample).success);
  const data = { isRepeatable: true, p95Ms: 3, rssBytes: 1 };
  for (const more of [{}, { goldenCosine: 0.9 }]) {
    const answer = { kind: "self-test", requestId: 1, result: { data: { ...data, ...more } } };
    assert.ok(FromVision.safeParse(answer).success);
  }
});

const broken: readonly [string, unknown][] = [
  [
    "a sampled frame of more bytes than any",
    { ...sample, frame: { ...sample.frame, pixels: new Uint8Array(12_441_601) } },
  ],
  ["a look whose time is no number", { ...sample, look: { ...sample.look, totalMs: Number.NaN } }],
  ["another kind", { ...observe, kind: "grant" }],
  ["an unknown field", { ...observe, identityId: "somebody" }],
  ["a camera id that is a path", { ...observe, cameraId: "../door" }],
  [
    "a score that is no number",
    {
      ...observe,
      observations: [{ ...observation, face: { ...observation.face, score: Number.NaN } }],
    },
  ],
  [
    "an endless box",
    {
      ...observe,
      observations: [
        {
          ...observation,
          face: {
            ...observation.face,
            box: { x: Number.POSITIVE_INFINITY, y: 0, width: 1, height: 1 },
          },
        },
      ],
    },
  ],
  [
    "an embedding in plain numbers",
    { ...observe, observations: [{ ...observation, embedding: [1, 0] }] },
  ],
  [
    "an embedding without end",
    { ...observe, observations: [{ ...observation, embedding: new Float32Array(5000) }] },
  ],
  ["too many faces", { ...observe, observations: Array.from({ length: 65 }, () => observation) }],
  [
    "a reason that nobody knows",
    { ...observe, observations: [{ ...observation, quality: { measures, reasons: ["ugly"] } }] },
  ],
  [
    "an answer with data and error",
    { kind: "ping", requestId: 1, result: { data: {}, error: { code: "x", message: "" } } },
  ],
  [
    "another version",
    {
      kind: "ping",
      requestId: 1,
      result: { data: { version: IPC_VERSION + 1, rssBytes: 1, progress: 1 } },
    },
  ],
  [
    "a source crop without bound",
    {
      ...observe,
      observations: [
        {
          ...observation,
          sourceCrop: {
            png: new Uint8Array(5 * 1024 * 1024),
            landmarks: observation.face.landmarks,
          },
        },
      ],
    },
  ],
];
for (const [name, message] of broken)
  test(`${name} is refused`, () => assert.equal(FromVision.safeParse(message).success, false));

test("options have defaults for everything", () => {
  const options = VisionOptions.parse({});
  assert.equal(options.quorumFrames, 3);
  assert.ok(options.probe.eyeDistanceMinPx < options.enrolment.eyeDistanceMinPx);
});
