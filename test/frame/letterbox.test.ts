import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  INPUT_MULTIPLE,
  letterbox,
  toFrameBox,
  toFramePoint,
  toInputPoint,
} from "../../src/frame/letterbox.ts";

const side = fc.integer({ min: 2, max: 5000 });

test("720p becomes 640×384, not a square", () => {
  const box = letterbox(1280, 720, 640);
  assert.deepEqual(
    [box.scaledWidthPx, box.scaledHeightPx, box.inputWidthPx, box.inputHeightPx],
    [640, 360, 640, 384],
  );
});

test("small pictures are magnified no more than asked", () => {
  const box = letterbox(150, 150, 640);
  assert.deepEqual([box.scaledWidthPx, box.inputWidthPx], [300, 320]);
});

test("whole numbers are pixel centres: half the size maps 0 between 0 and 1", () => {
  assert.deepEqual(toFramePoint(letterbox(1280, 720, 640), { x: 0, y: 0 }), { x: 0.5, y: 0.5 });
});

test("the inverse leads back, and the input holds the scaled picture in whole multiples", () => {
  fc.assert(
    fc.property(
      side,
      side,
      fc.integer({ min: 160, max: 1920 }),
      fc.double({ min: -50, max: 2000, noNaN: true }),
      fc.double({ min: -50, max: 2000, noNaN: true }),
      (width, height, longer, x, y) => {
        const box = letterbox(width, height, longer);
        const back = toInputPoint(box, toFramePoint(box, { x, y }));
        assert.ok(Math.abs(back.x - x) < 1e-6 && Math.abs(back.y - y) < 1e-6);
        assert.equal(box.inputWidthPx % INPUT_MULTIPLE, 0);
        assert.equal(box.inputHeightPx % INPUT_MULTIPLE, 0);
        assert.ok(box.scaledWidthPx <= box.inputWidthPx && box.scaledHeightPx <= box.inputHeightPx);
        assert.ok(Math.max(box.scaledWidthPx, box.scaledHeightPx) <= longer + 1);
      },
    ),
  );
});

test("a box's corners map as points do", () => {
  const letter = letterbox(1920, 1080, 640);
  const box = toFrameBox(letter, { x: 10, y: 20, width: 30, height: 40 });
  const corner = toFramePoint(letter, { x: 40, y: 60 });
  assert.ok(
    Math.abs(box.x + box.width - corner.x) < 1e-9 && Math.abs(box.y + box.height - corner.y) < 1e-9,
  );
});
