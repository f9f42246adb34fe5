import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARCFACE_112 } from "../../src/face/align.ts";
import type { Face, Landmarks } from "../../src/face/face.ts";
import { fromView, lookedAtTwice, surroundings, VIEW_PX, viewOf } from "../../src/face/look.ts";

const frontal: Face = {
  box: { x: 16, y: 12, width: 80, height: 100 },
  landmarks: ARCFACE_112,
  score: 0.9,
};
const shifted = (face: Face, x: number, y = 0): Face => ({
  ...face,
  box: { ...face.box, x: face.box.x + x, y: face.box.y + y },
  landmarks: face.landmarks.map((p) => ({ x: p.x + x, y: p.y + y })) as unknown as Landmarks,
});

test("a view shows 1.6 sides around the face, 90 px high, magnified twice at most, and fits its square", () => {
  assert.deepEqual(surroundings(frontal), { x: -24, y: -18, width: 160, height: 160 });
  const part = { x: 100, y: 200, width: 160, height: 160 };
  assert.deepEqual(viewOf(frontal, part), { part, widthPx: 144, heightPx: 144 });
  const tiny: Face = { ...frontal, box: { x: 0, y: 0, width: 8, height: 10 } };
  assert.equal(viewOf(tiny, { x: 0, y: 0, width: 16, height: 16 }).widthPx, 32);
  fc.assert(
    fc.property(
      fc.record({
        width: fc.integer({ min: 1, max: 4000 }),
        height: fc.integer({ min: 1, max: 4000 }),
      }),
      fc.integer({ min: 1, max: 4000 }),
      (part, side) => {
        const box = { x: 0, y: 0, width: side, height: side };
        const { widthPx, heightPx } = viewOf({ ...frontal, box }, { x: 0, y: 0, ...part });
        assert.ok(widthPx >= 1 && heightPx >= 1 && widthPx <= VIEW_PX && heightPx <= VIEW_PX);
      },
    ),
  );
});

test("what the mirrored view shows comes back where it was, left and right in their places", () => {
  const view = { part: { x: 40, y: 20, width: 200, height: 100 }, widthPx: 100, heightPx: 50 };
  // As the view shows it: half the size, mirrored, eyes and mouth corners changed over.
  const seen = ({ x, y }: { x: number; y: number }) => ({
    x: 99 - ((x - 40 + 0.5) / 2 - 0.5),
    y: (y - 20 + 0.5) / 2 - 0.5,
  });
  const [right, left, nose, mouthRight, mouthLeft] = frontal.landmarks;
  const corner = seen({ x: frontal.box.x + frontal.box.width, y: frontal.box.y });
  const face = fromView(view, {
    box: { ...corner, width: 40, height: 50 },
    landmarks: [seen(left), seen(right), seen(nose), seen(mouthLeft), seen(mouthRight)],
    score: 0.7,
  });
  for (const [index, point] of face.landmarks.entries()) {
    const wanted = frontal.landmarks[index] as { x: number; y: number };
    assert.ok(Math.hypot(point.x - wanted.x, point.y - wanted.y) < 1e-9, `landmark ${index}`);
  }
  for (const side of ["x", "y", "width", "height"] as const)
    assert.ok(Math.abs(face.box[side] - frontal.box[side]) < 1e-9, side);
});

test("landmarks of both looks are averaged; box and score are the first look's", () => {
  const twice = lookedAtTwice(frontal, [shifted({ ...frontal, score: 0.3 }, 4, 2)]);
  assert.ok(twice !== undefined);
  assert.deepEqual([twice.box, twice.score], [frontal.box, frontal.score]);
  for (const [index, { x, y }] of twice.landmarks.entries()) {
    const first = frontal.landmarks[index] as { x: number; y: number };
    assert.ok(Math.abs(x - first.x - 2) < 1e-9 && Math.abs(y - first.y - 1) < 1e-9);
  }
});

test("of several faces in the view the one that covers the first look's box counts", () => {
  const twice = lookedAtTwice(frontal, [shifted(frontal, 25), shifted(frontal, 4)]);
  assert.ok(twice !== undefined);
  assert.ok(Math.abs(twice.landmarks[0].x - frontal.landmarks[0].x - 2) < 1e-9);
});

test("a face is not one when the second look finds nothing, somebody else, or no possible face", () => {
  assert.equal(lookedAtTwice(frontal, []), undefined);
  assert.equal(lookedAtTwice(frontal, [shifted(frontal, 60)]), undefined);
  const upsideDown = frontal.landmarks.map(({ x, y }) => ({ x, y: 124 - y }));
  const impossible: Face = { ...frontal, landmarks: upsideDown as unknown as Landmarks };
  assert.equal(lookedAtTwice(frontal, [impossible]), undefined);
});
