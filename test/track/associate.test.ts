import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { associate } from "../../src/track/associate.ts";

const box = (x: number, width = 20) => ({ x, y: 0, width, height: 20 });
const pairs = (tracks: number[], faces: number[]) =>
  associate(
    tracks.map((x) => box(x)),
    faces.map((x) => box(x)),
  )
    .map(({ track, face }) => [track, face])
    .toSorted();

test("each track gets the face that overlaps it most", () => {
  assert.deepEqual(pairs([0, 100], [102, 3]), [
    [0, 1],
    [1, 0],
  ]);
});

test("one face near two tracks continues the nearer one only", () => {
  assert.deepEqual(pairs([0, 12], [10]), [[1, 0]]);
});

test("a face that jumped without overlap is still found nearby, far away is not", () => {
  assert.deepEqual(pairs([0], [17]), [[0, 0]]);
  assert.deepEqual(pairs([0], [40]), []);
});

test("a face of quite another size is not the same one without overlap", () => {
  assert.deepEqual(associate([box(0, 20)], [box(19, 60)]).length, 0);
});

test("never uses a track or a face twice", () => {
  const xs = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 12 });
  fc.assert(
    fc.property(xs, xs, (tracks, faces) => {
      const found = pairs(tracks, faces);
      assert.equal(new Set(found.map(([track]) => track)).size, found.length);
      assert.equal(new Set(found.map(([, face]) => face)).size, found.length);
    }),
  );
});
