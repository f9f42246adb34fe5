import assert from "node:assert/strict";
import { test } from "node:test";
import { discard } from "../../src/vision/discard.ts";

test("memory of its own is given back", () => {
  const bytes = new Uint8Array(1000);
  discard(bytes);
  assert.equal(bytes.byteLength, 0);
});

test("a view into larger or shared memory is left alone", () => {
  const whole = new Uint8Array(1000).fill(7);
  discard(whole.subarray(10, 20));
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  discard(shared);
  assert.equal(whole[10], 7);
  assert.equal(shared.byteLength, 8);
});
