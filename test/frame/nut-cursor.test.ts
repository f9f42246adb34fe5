import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NutCursor, nutChecksum } from "../../src/frame/nut-cursor.ts";

const cursor = (...bytes: number[]): NutCursor => new NutCursor(Uint8Array.from(bytes));

const encode = (value: number): number[] => {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest % 128) | 0x80);
  return bytes;
};

test("unsigned varints of every size come back", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const read = cursor(...encode(value));
      assert.equal(read.varint(), value);
      assert.deepEqual([read.bad, read.overrun, read.at], [false, false, read.end]);
    }),
  );
});

test("signed varints alternate around zero", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((coded) => cursor(coded).signed() + 0),
    [-0, 1, -1, 2, -2].map((value) => value + 0),
  );
});

test("too few bytes are an overrun, too large a value is bad", () => {
  const short = cursor(0x81);
  short.varint();
  assert.deepEqual([short.overrun, short.bad], [true, false]);
  const large = cursor(0x81, 0x00);
  large.varint(127);
  assert.equal(large.bad, true);
  const endless = cursor(...new Array<number>(20).fill(0xff));
  endless.varint();
  assert.equal(endless.bad, true);
});

test("a sized value past the end is an overrun, not a read", () => {
  const read = cursor(5, 1, 2);
  assert.equal(read.sized(10).length, 0);
  assert.equal(read.overrun, true);
});

test("the checksum is CRC-32 with most significant bit first, from zero", () => {
  // `printf 123456789 | cksum` without its length suffix and inversion: CRC-32/POSIX reflected to init 0, xorout 0.
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(nutChecksum(bytes, 0, bytes.length), 0x89a1897f);
  assert.equal(nutChecksum(bytes, 3, 3), 0);
});
