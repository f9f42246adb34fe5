import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { codeOf } from "../../src/lib/fault.ts";
import { decodeImage, imageSize } from "../../src/vision/image.ts";
import { asBuffer, CV_8UC3, loadOpenCv } from "../../src/vision/opencv.ts";

const cv = loadOpenCv(1);
const picture = new cv.Mat(
  asBuffer(Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => (i * 7) % 256)),
  48,
  64,
  CV_8UC3,
);
const png = Uint8Array.from(cv.imencode(".png", picture));
const jpeg = Uint8Array.from(cv.imencode(".jpg", picture));
const refusal = (bytes: Uint8Array): string => {
  try {
    decodeImage(cv, bytes);
    return "decoded";
  } catch (thrown) {
    return codeOf(thrown);
  }
};
/** A PNG whose header promises `width × height`. */
const promising = (width: number, height: number): Uint8Array => {
  const bytes = Uint8Array.from(png);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  return bytes;
};

test("JPEG and PNG are decoded, and their size is known before", () => {
  for (const bytes of [png, jpeg]) {
    assert.deepEqual(imageSize(bytes), { widthPx: 64, heightPx: 48 });
    const image = decodeImage(cv, bytes);
    assert.deepEqual([image.cols, image.rows, image.channels], [64, 48, 3]);
  }
});

test("a bomb is refused by its header, before any decoder allocates", () => {
  const before = process.memoryUsage.rss();
  assert.equal(refusal(promising(60_000, 60_000)), "image_too_large");
  assert.equal(refusal(promising(2 ** 31 - 1, 2 ** 31 - 1)), "image_too_large");
  const giant = Uint8Array.from(jpeg);
  const frame = giant.findIndex((byte, i) => byte === 0xff && giant[i + 1] === 0xc0);
  new DataView(giant.buffer).setUint16(frame + 5, 65_000);
  new DataView(giant.buffer).setUint16(frame + 7, 65_000);
  assert.equal(refusal(giant), "image_too_large");
  assert.ok(process.memoryUsage.rss() - before < 50 * 2 ** 20);
});

test("cut off, empty, foreign, tiny and lying files have their codes", () => {
  assert.equal(refusal(png.subarray(0, png.length - 20)), "image_corrupt");
  assert.equal(refusal(jpeg.subarray(0, jpeg.length / 2)), "image_corrupt");
  assert.equal(refusal(new Uint8Array(0)), "image_unsupported");
  assert.equal(refusal(new TextEncoder().encode("GIF89a, or so it says")), "image_unsupported");
  assert.equal(refusal(promising(8, 8)), "image_unsupported");
  assert.equal(refusal(promising(0, 48)), "image_corrupt");
  assert.notEqual(refusal(promising(640, 480)), "decoded");
  assert.equal(refusal(new Uint8Array(21 * 1024 * 1024)), "image_too_large");
});

test("damaged bytes give a picture or a code, never anything else", () => {
  const codes = new Set(["decoded", "image_corrupt", "image_unsupported", "image_too_large"]);
  fc.assert(
    fc.property(
      fc.constantFrom(png, jpeg),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      (source, changes, cut) => {
        const bytes = Uint8Array.from(source).subarray(0, source.length - (cut % 50));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        assert.ok(codes.has(refusal(bytes)));
      },
    ),
  );
});
