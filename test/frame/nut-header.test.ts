import assert from "node:assert/strict";
import { test } from "node:test";
import { nutChecksum } from "../../src/frame/nut-cursor.ts";
import {
  packetAt,
  parseMainHeader,
  parseStreamHeader,
  startCodeAt,
} from "../../src/frame/nut-header.ts";

/** Written by ffmpeg 5.1 with `-c:v rawvideo -pix_fmt nv12 -write_index 0 -f nut` from a clip at 10 fps, 320×180. */
const MAIN = bytes(
  "4e4d7a561f5f04ad4a030181ff7f01018580 00c00006000000000001a000020101280100290021 01ff7f2002ff7f8179c0000600000000000106030000010400 0001b602fffa02fffb02fffc02fffd99702f2f",
);
const STREAM = bytes("4e5311405bf2f9db1a0000044e563132000e8580000000008240813400000 0ed4679cc");

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

function packet(raw: Uint8Array) {
  const found = packetAt(raw, 0);
  assert.ok(found !== "more" && found !== "bad", String(found));
  return found;
}

/** The same packet with other bytes in its body and a checksum that fits. */
function altered(raw: Uint8Array, at: number, value: number): Uint8Array {
  const copy = raw.slice();
  copy[at] = value;
  new DataView(copy.buffer).setUint32(copy.length - 4, nutChecksum(copy, 9, copy.length - 4));
  return copy;
}

test("main and stream header say what ffmpeg was told", () => {
  const main = parseMainHeader(packet(MAIN).body);
  assert.ok(main !== undefined);
  assert.equal(main.frameCodes.length, 256);
  assert.deepEqual(main.timeBases, [{ num: 1, den: 81920 }]);
  assert.equal(main.elided.length, 7);
  const stream = parseStreamHeader(packet(STREAM).body, main);
  assert.deepEqual([stream?.widthPx, stream?.heightPx], [320, 180]);
});

test("every prefix of a packet asks for more; every flipped byte makes it bad or asks for more", () => {
  for (let length = 0; length < MAIN.length; length += 1)
    assert.equal(packetAt(MAIN.subarray(0, length), 0), "more");
  for (let at = 0; at < MAIN.length; at += 1) {
    const flipped = MAIN.slice();
    flipped[at] = (flipped[at] ?? 0) ^ 0x10;
    assert.ok(["bad", "more"].includes(String(packetAt(flipped, 0))), `byte ${at}`);
  }
});

test("start codes are told apart", () => {
  assert.equal(startCodeAt(MAIN, 0), "main");
  assert.equal(startCodeAt(STREAM, 0), "stream");
  assert.equal(startCodeAt(STREAM, 1), undefined);
});

test("another pixel format, odd sides and another class of stream are refused", () => {
  const main = parseMainHeader(packet(MAIN).body);
  assert.ok(main !== undefined);
  const refused = (at: number, value: number) =>
    parseStreamHeader(packet(altered(STREAM, at, value)).body, main) === undefined;
  assert.equal(refused(9, 0), false);
  assert.equal(refused(9, 1), true, "stream id");
  assert.equal(refused(10, 1), true, "audio");
  assert.equal(refused(12, 0x49), true, "fourcc");
  assert.equal(refused(25, 0x35), true, "odd height");
});
