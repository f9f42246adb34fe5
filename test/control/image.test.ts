import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkImage } from "../../src/control/image.ts";

const limits = { imageMaxBytes: 1000, imageMaxPixels: 640 * 480 };
const base64 = (bytes: readonly number[]): string => Buffer.from(bytes).toString("base64");
/** SOI, APP0 of 16 bytes, then a baseline frame header of 480 × 640. */
const JPEG = [
  0xff,
  0xd8,
  0xff,
  0xe0,
  0,
  16,
  ...Array<number>(14).fill(0),
  0xff,
  0xc0,
  0,
  17,
  8,
  0x01,
  0xe0,
  0x02,
  0x80,
  3,
  0,
  0,
];

test("a JPEG's size is read behind its other segments", () => {
  const checked = checkImage(base64(JPEG), limits);
  assert.deepEqual(
    { ...checked, bytes: 0 },
    { kind: "image", format: "jpeg", widthPx: 640, heightPx: 480, bytes: 0 },
  );
});

test("too many bytes or pixels are refused before anything is decoded", () => {
  assert.equal(checkImage("A".repeat(1400), limits).kind, "refused");
  const bomb = checkImage(base64([...JPEG.slice(0, 25), 0xff, 0xff, 0xff, 0xff, 3, 0, 0]), limits);
  assert.equal(bomb.kind === "refused" && bomb.code, "image_too_large");
});

test("no bytes whatever crash the check", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, asJpeg) => {
      const checked = checkImage(
        Buffer.from(asJpeg ? [0xff, 0xd8, ...bytes] : bytes).toString("base64"),
        limits,
      );
      if (checked.kind === "image")
        assert.ok(checked.widthPx * checked.heightPx <= limits.imageMaxPixels);
    }),
  );
});
