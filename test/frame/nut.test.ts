import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type NutFrame, NutReader, type NutReaderOptions } from "../../src/frame/nut.ts";

const WIDTH = 352;
const HEIGHT = 288;
const FRAME = (WIDTH * HEIGHT * 3) / 2;
const FRAMES = 12;

const ffmpeg = (...output: string[]): Buffer =>
  execFileSync(
    "ffmpeg",
    [
      ...[
        "-hide_banner",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        `testsrc2=size=${WIDTH}x${HEIGHT}:rate=10`,
      ],
      ...["-frames:v", String(FRAMES), "-c:v", "rawvideo", "-pix_fmt", "nv12", ...output, "pipe:1"],
    ],
    { maxBuffer: 1 << 28 },
  );

/** What ffmpeg itself says the stream and its pixels are. */
const stream = ffmpeg("-write_index", "0", "-f", "nut");
const raw = ffmpeg("-f", "rawvideo");
const wanted = Array.from({ length: FRAMES }, (_, i) =>
  digest(raw.subarray(i * FRAME, (i + 1) * FRAME)),
);

function digest(pixels: Uint8Array): string {
  return createHash("sha256").update(pixels).digest("hex");
}

function read(
  chunks: Iterable<Uint8Array>,
  options: Partial<NutReaderOptions> = {},
): { reader: NutReader; frames: NutFrame[] } {
  const reader = new NutReader({ maxFrameBytes: FRAME, ...options });
  const frames: NutFrame[] = [];
  const sink = {
    room: (size: number) => new Uint8Array(size),
    frame: (frame: NutFrame) => void frames.push(frame),
  };
  for (const chunk of chunks) reader.push(chunk, sink);
  return { reader, frames };
}

function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

test("ffmpeg's stream gives ffmpeg's pixels, sizes and times", () => {
  const { reader, frames } = read([stream]);
  assert.deepEqual(
    frames.map((frame) => digest(frame.pixels)),
    wanted,
  );
  assert.deepEqual(
    frames.map((frame) => Math.round(frame.ptsMs)),
    wanted.map((_, i) => i * 100),
  );
  assert.ok(frames.every((frame) => frame.widthPx === WIDTH && frame.heightPx === HEIGHT));
  assert.equal(reader.resyncs, 0);
});

test("however the stream is cut into chunks, the frames are the same", () => {
  const sizes = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 300_000 })),
    { minLength: 1, maxLength: 12 },
  );
  fc.assert(
    fc.property(sizes, (chunkSizes) => {
      // Very small chunks of all of it would only be slow: the first 64 KiB have every kind of boundary.
      const small = Math.max(...chunkSizes) < 4096;
      const { frames, reader } = read(
        small
          ? [...cut(stream.subarray(0, 65536), chunkSizes), stream.subarray(65536)]
          : cut(stream, chunkSizes),
      );
      assert.deepEqual(
        frames.map((frame) => digest(frame.pixels)),
        wanted,
      );
      assert.equal(reader.resyncs, 0);
    }),
    { numRuns: 60 },
  );
});

test("with the header of an earlier reader, a start anywhere in the stream loses the frame it is in", () => {
  const header = read([stream]).reader.headerBytes;
  assert.ok(header !== undefined && header.length < 1000);
  fc.assert(
    fc.property(fc.integer({ min: 200, max: stream.length - 3 * FRAME }), (from) => {
      const { frames } = read(cut(stream.subarray(from), [65536]), { header });
      const first = wanted.indexOf(digest(frames[0]?.pixels ?? new Uint8Array(0)));
      assert.ok(first >= 0 && first <= Math.ceil(from / FRAME), `from ${from} first ${first}`);
      assert.deepEqual(
        frames.map((frame) => digest(frame.pixels)),
        wanted.slice(first),
      );
      assert.deepEqual(
        frames.map((frame) => Math.round(frame.ptsMs)),
        frames.map((_, i) => (first + i) * 100),
      );
    }),
    { numRuns: 80 },
  );
});

test("without a header, the middle of a stream gives nothing and costs no memory", () => {
  const { frames, reader } = read(cut(stream.subarray(FRAME), [4096]));
  assert.equal(frames.length, 0);
  assert.equal(reader.headerBytes, undefined);
});

test("flipped, cut and inserted bytes never throw, and two frames later all is well again", () => {
  const damage = fc.record({
    at: fc.integer({ min: 512, max: stream.length - 5 * FRAME }),
    remove: fc.integer({ min: 0, max: 5000 }),
    insert: fc.uint8Array({ maxLength: 300 }),
    nearHeader: fc.boolean(),
  });
  fc.assert(
    fc.property(
      damage,
      fc.integer({ min: 1000, max: 100_000 }),
      ({ at, remove, insert, nearHeader }, size) => {
        const offset = nearHeader ? Math.max(512, stream.indexOf("NK", at) + (at % 32)) : at;
        const torn = Buffer.concat([
          stream.subarray(0, offset),
          insert,
          stream.subarray(offset + remove),
        ]);
        const { frames } = read(cut(torn, [size]));
        const after = Math.floor((offset + remove) / FRAME) + 3;
        const tail = wanted.slice(after);
        assert.ok(tail.length > 0);
        assert.deepEqual(
          frames.slice(frames.length - tail.length).map((frame) => digest(frame.pixels)),
          tail,
        );
        assert.ok(frames.length <= FRAMES);
      },
    ),
    { numRuns: 120 },
  );
});

test("noise never throws and gives no frame", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 10 }), (chunks) => {
      const header = read([stream]).reader.headerBytes;
      assert.equal(read(chunks).frames.length, 0);
      assert.equal(read(chunks, { header }).frames.length, 0);
      assert.equal(read([...chunks, stream]).frames.length, FRAMES);
    }),
    { numRuns: 40 },
  );
});

test("a damaged header is not believed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 25, max: 140 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(stream);
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      assert.equal(read([damaged]).frames.length, 0);
    }),
  );
});

test("frames larger than allowed are never asked room for", () => {
  assert.equal(read([stream], { maxFrameBytes: FRAME - 1 }).frames.length, 0);
});

test("a frame without room is skipped, the next one is read", () => {
  const reader = new NutReader({ maxFrameBytes: FRAME });
  const seen: string[] = [];
  let asked = 0;
  const room = (size: number): Uint8Array | undefined =>
    asked++ % 2 === 0 ? undefined : new Uint8Array(size);
  for (const chunk of cut(stream, [65536]))
    reader.push(chunk, { room, frame: (frame) => void seen.push(digest(frame.pixels)) });
  assert.deepEqual(
    seen,
    wanted.filter((_, i) => i % 2 === 1),
  );
});
