import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFaces, type StrideOutput } from "../../src/face/decode.ts";

/** A 64×32 input at stride 8: 8×4 cells. */
function output(change: (output: StrideOutput) => void): StrideOutput {
  const cells = 32;
  const made = {
    stride: 8,
    cls: new Float32Array(cells),
    obj: new Float32Array(cells),
    bbox: new Float32Array(cells * 4),
    kps: new Float32Array(cells * 10),
  };
  change(made);
  return made;
}

test("one cell: box from centre offset and log size, landmarks from offsets, score as geometric mean", () => {
  const cell = 8 + 3; // row 1, column 3
  const [face, ...rest] = decodeFaces(
    [
      output(({ cls, obj, bbox, kps }) => {
        cls[cell] = 0.81;
        obj[cell] = 1.5; // clamped to 1
        bbox.set([0.5, 0.25, Math.log(2), Math.log(4)], cell * 4);
        kps.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], cell * 10);
      }),
    ],
    64,
    0.7,
  );
  assert.equal(rest.length, 0);
  assert.ok(face !== undefined);
  assert.ok(Math.abs(face.score - 0.9) < 1e-6);
  assert.deepEqual(
    [face.box.width, face.box.height].map((value) => Math.round(value * 1000) / 1000),
    [16, 32],
  );
  assert.ok(
    Math.abs(face.box.x - (3.5 * 8 - 8)) < 1e-4 && Math.abs(face.box.y - (1.25 * 8 - 16)) < 1e-4,
  );
  assert.deepEqual(face.landmarks[0], { x: 32, y: 24 });
  assert.deepEqual(face.landmarks[4], { x: 96, y: 88 });
});

test("scores below the least one, NaN and endless sizes are no faces", () => {
  const faces = decodeFaces(
    [
      output(({ cls, obj, bbox }) => {
        cls.set([0.5, Number.NaN, 1, -1]);
        obj.set([0.9, 1, 1, -1]);
        bbox[2 * 4 + 2] = 1e9;
      }),
    ],
    64,
    0.7,
  );
  assert.deepEqual(faces, []);
});
