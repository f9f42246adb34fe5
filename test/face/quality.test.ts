import assert from "node:assert/strict";
import { test } from "node:test";
import { ARCFACE_112 } from "../../src/face/align.ts";
import type { Face, QualityMeasures, QualityReason } from "../../src/face/face.ts";
import { measure, type QualityLimits, reasonsAgainst, shotScore } from "../../src/face/quality.ts";

const face: Face = {
  box: { x: 16, y: 12, width: 80, height: 100 },
  landmarks: ARCFACE_112,
  score: 0.9,
};
const limits: QualityLimits = {
  eyeDistanceMinPx: 18,
  sharpnessMin: 30,
  brightnessMin: 40,
  brightnessMax: 225,
  yawMax: 0.6,
  pitchMax: 0.6,
  insideShareMin: 0.85,
};
const good = measure(face, { sharpness: 100, brightness: 120 }, 200, 200);

test("a frontal face measures frontal and wholly inside", () => {
  assert.ok(Math.abs(good.eyeDistancePx - 35.24) < 0.01);
  assert.ok(
    Math.abs(good.yaw) < 0.1 && Math.abs(good.pitch) < 0.2 && Math.abs(good.rollDegrees) < 1,
  );
  assert.equal(good.insideShare, 1);
  assert.equal(good.sizePx, 80);
  assert.deepEqual(reasonsAgainst(good, limits, true), []);
});

test("yaw has the sign of the nose's side and does not change with roll", () => {
  const nosed = (dx: number, degrees: number): QualityMeasures => {
    const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const [a, b, n, d, e] = ARCFACE_112;
    const turn = ({ x, y }: { x: number; y: number }) => ({ x: c * x - s * y, y: s * x + c * y });
    const landmarks = [turn(a), turn(b), turn({ x: n.x + dx, y: n.y }), turn(d), turn(e)] as const;
    return measure({ ...face, landmarks }, { sharpness: 1, brightness: 1 }, 200, 200);
  };
  assert.ok(nosed(10, 0).yaw > 0.4 && nosed(-10, 0).yaw < -0.4);
  assert.ok(Math.abs(nosed(10, 0).yaw - nosed(10, 30).yaw) < 1e-9);
  assert.ok(Math.abs(nosed(10, 30).rollDegrees - nosed(10, 0).rollDegrees - 30) < 1e-6);
});

const cases: readonly [Partial<QualityMeasures>, readonly QualityReason[]][] = [
  [{ eyeDistancePx: 17 }, ["too_small"]],
  [{ sharpness: 29 }, ["blurred"]],
  [{ sharpness: Number.NaN }, ["blurred"]],
  [{ brightness: 39 }, ["dark"]],
  [{ brightness: 226 }, ["bright"]],
  [{ yaw: -0.61 }, ["turned"]],
  [{ pitch: 0.61 }, ["turned"]],
  // A large head in profile is turned, not small.
  [{ yaw: 0.9, eyeDistancePx: 10, sizePx: 80 }, ["turned"]],
  [{ yaw: 0.9, eyeDistancePx: 10, sizePx: 20 }, ["too_small", "turned"]],
  [{ insideShare: 0.8 }, ["clipped"]],
];
for (const [change, reasons] of cases) {
  test(`${JSON.stringify(change)} → ${reasons.join(", ")}`, () =>
    assert.deepEqual(reasonsAgainst({ ...good, ...change }, limits, true), reasons));
}

test("implausible landmarks are a reason of their own", () =>
  assert.deepEqual(reasonsAgainst(good, limits, false), ["landmarks"]));

test("half a face outside the frame is half inside", () => {
  assert.equal(
    measure(
      { ...face, box: { x: -40, y: 0, width: 80, height: 100 } },
      { sharpness: 1, brightness: 1 },
      200,
      200,
    ).insideShare,
    0.5,
  );
});

test("larger, sharper, more frontal shots score higher", () => {
  const score = shotScore(good);
  assert.ok(shotScore({ ...good, eyeDistancePx: 50 }) > score);
  assert.ok(shotScore({ ...good, sharpness: 200 }) > score);
  assert.ok(shotScore({ ...good, yaw: 0.5 }) < score);
});
