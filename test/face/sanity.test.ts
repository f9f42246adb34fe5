import assert from "node:assert/strict";
import { test } from "node:test";
import { ARCFACE_112 } from "../../src/face/align.ts";
import type { Face, Landmarks } from "../../src/face/face.ts";
import { isPlausible } from "../../src/face/sanity.ts";

const frontal: Face = {
  box: { x: 16, y: 12, width: 80, height: 100 },
  landmarks: ARCFACE_112,
  score: 0.9,
};
const withLandmarks = (change: (points: { x: number; y: number }[]) => void): Face => {
  const points = ARCFACE_112.map((point) => ({ ...point }));
  change(points);
  return { ...frontal, landmarks: points as unknown as Landmarks };
};

test("a frontal face, rolled in the plane by any angle, is one", () => {
  assert.ok(isPlausible(frontal));
  for (let degrees = 15; degrees < 360; degrees += 15) {
    const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    const turned = withLandmarks((points) => {
      for (const point of points) {
        const [x, y] = [point.x - 56, point.y - 62];
        point.x = 56 + c * x - s * y;
        point.y = 62 + s * x + c * y;
      }
    });
    assert.ok(isPlausible(turned), `${degrees}°`);
  }
});

test("a profile whose eyes fold together is one", () => {
  assert.ok(isPlausible(withLandmarks((p) => Object.assign(p[0] as object, { x: 72, y: 51.7 }))));
});

/** Moves landmarks to other places. */
const moved = (places: Readonly<Record<number, { x?: number; y?: number }>>): Face =>
  withLandmarks((points) => {
    for (const [index, place] of Object.entries(places))
      Object.assign(points[Number(index)] ?? {}, place);
  });

const [rightEye, leftEye] = ARCFACE_112;
const impossible: readonly [string, Face][] = [
  ["eyes swapped", moved({ 0: leftEye, 1: rightEye })],
  ["mouth above the eyes, upright eyes", moved({ 3: { y: 15 }, 4: { y: 15 } })],
  ["mouth on the eyes", moved({ 3: { y: 53 }, 4: { y: 53 } })],
  ["nose on the forehead", moved({ 2: { y: 20 } })],
  ["a landmark far outside the box", moved({ 4: { x: 300 } })],
  ["not a number", moved({ 4: { x: Number.NaN } })],
  ["a box without width", { ...frontal, box: { ...frontal.box, width: 0 } }],
];
for (const [name, face] of impossible)
  test(`${name} is no face`, () => assert.equal(isPlausible(face), false));
