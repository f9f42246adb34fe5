import assert from "node:assert/strict";
import { test } from "node:test";
import { fillBlack, writeNchw, writePlanes } from "../../src/embedding/input.ts";

const raw = { channelOrder: "bgr", mean: [0, 0, 0], std: [1, 1, 1] } as const;
/** Two pixels of one row: BGR (1 2 3) and (4 5 6). */
const pixels = Uint8Array.from([1, 2, 3, 4, 5, 6]);

test("HWC becomes planes, into the corner of a wider tensor", () => {
  const into = new Float32Array(3 * 3).fill(-9);
  writeNchw(pixels, 2, 1, into, 3, raw);
  assert.deepEqual([...into], [1, 4, -9, 2, 5, -9, 3, 6, -9]);
});

test("RGB order swaps the outer planes; mean and std are the model's, in its order", () => {
  const into = new Float32Array(6);
  writeNchw(pixels, 2, 1, into, 2, { channelOrder: "rgb", mean: [1, 2, 3], std: [1, 2, 4] });
  assert.deepEqual([...into], [2, 5, 0, 1.5, -0.5, 0.25]);
});

test("PocketNet's contract: (x/255 − 0.5)/0.5", () => {
  const into = new Float32Array(6);
  writeNchw(Uint8Array.from([0, 0, 0, 255, 255, 255]), 2, 1, into, 2, {
    channelOrder: "rgb",
    mean: [127.5, 127.5, 127.5],
    std: [127.5, 127.5, 127.5],
  });
  assert.deepEqual([...into], [-1, 1, -1, 1, -1, 1]);
});

test("black is what a black picture gives", () => {
  const preprocessing = { channelOrder: "rgb", mean: [10, 20, 30], std: [1, 2, 3] } as const;
  const [filled, written] = [new Float32Array(3), new Float32Array(3)];
  fillBlack(filled, preprocessing);
  writeNchw(new Uint8Array(3), 1, 1, written, 1, preprocessing);
  assert.deepEqual(filled, written);
});

test("planes give what the interleaved picture gives, whatever the preprocessing", () => {
  const picture = Uint8Array.from({ length: 4 * 3 * 3 }, (_, i) => (i * 37) % 256);
  const planes = [0, 1, 2].map((channel) => picture.filter((_, i) => i % 3 === channel));
  const scaled = { channelOrder: "rgb", mean: [1, 2, 3], std: [2, 4, 8] } as const;
  for (const preprocessing of [raw, scaled, { ...raw, channelOrder: "rgb" as const }]) {
    for (const width of [4, 7]) {
      const [one, other] = [new Float32Array(3 * width * 5), new Float32Array(3 * width * 5)];
      writeNchw(picture, 4, 3, one, width, preprocessing);
      writePlanes(planes, 4, 3, other, width, preprocessing);
      assert.deepEqual(other, one);
    }
  }
});
