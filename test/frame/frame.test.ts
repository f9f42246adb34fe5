import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { frameBytes } from "../../src/frame/frame.ts";

test("bytes of one frame", () => {
  assert.equal(frameBytes("nv12", 1280, 720), 1_382_400);
  assert.equal(frameBytes("bgr24", 1280, 720), 2_764_800);
});

test("NV12 is half of BGR24, in whole bytes for even sides", () => {
  const even = fc.integer({ min: 1, max: 2000 }).map((value) => value * 2);
  fc.assert(
    fc.property(even, even, (width, height) => {
      assert.equal(frameBytes("nv12", width, height) * 2, frameBytes("bgr24", width, height));
      assert.ok(Number.isInteger(frameBytes("nv12", width, height)));
    }),
  );
});
