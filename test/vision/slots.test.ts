import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FrameSlots } from "../../src/vision/slots.ts";

const BYTES = 24; // 4×4 NV12

function write(slots: FrameSlots, sequence: number): boolean {
  const begun = slots.begin(BYTES);
  assert.ok(begun !== undefined);
  begun.room.fill(sequence);
  slots.finish(4, 4, {
    sequence,
    capturedMonotonicMs: sequence * 10,
    capturedEpochMs: sequence * 100,
  });
  return begun.dropped;
}
const read = (slots: FrameSlots) =>
  slots.take(async (frame) => [
    frame.sequence,
    frame.pixels[0],
    frame.capturedMonotonicMs,
    frame.widthPx,
  ]);

test("the newest frame comes out, the older ones are dropped and counted", async () => {
  const writer = FrameSlots.create(BYTES);
  const reader = new FrameSlots(writer.memory);
  assert.deepEqual(
    [1, 2, 3, 4].map((sequence) => write(writer, sequence)),
    [false, false, true, true],
  );
  assert.deepEqual(await read(reader), [4, 4, 40, 4]);
});

test("a frame that was passed over never comes out later", async () => {
  const slots = FrameSlots.create(BYTES);
  write(slots, 1);
  write(slots, 2);
  assert.deepEqual(await slots.take(async (frame, dropped) => [frame.sequence, dropped]), [2, 1]);
  assert.equal(await read(slots), undefined);
});

test("a frame that is being read is never written over", async () => {
  const writer = FrameSlots.create(BYTES);
  const reader = new FrameSlots(writer.memory);
  write(writer, 1);
  await reader.take(async (frame) => {
    for (let sequence = 2; sequence < 10; sequence += 1) write(writer, sequence);
    assert.equal(frame.pixels[0], 1);
  });
  assert.equal((await read(reader))?.[0], 9);
});

test("a half-written frame is not seen, and is forgotten when the next begins", async () => {
  const slots = FrameSlots.create(BYTES);
  slots.begin(BYTES)?.room.fill(7);
  assert.equal(slots.hasFrame, false);
  assert.equal(await read(slots), undefined);
  write(slots, 8);
  assert.deepEqual(await read(slots), [8, 8, 80, 4]);
});

test("a slot is free again when its reader fails", async () => {
  const slots = FrameSlots.create(BYTES);
  for (let sequence = 1; sequence < 5; sequence += 1) {
    write(slots, sequence);
    await assert.rejects(slots.take(() => Promise.reject(new Error("model"))));
  }
  assert.ok(slots.begin(BYTES) !== undefined);
});

test("a frame that does not fit has no room", () =>
  assert.equal(FrameSlots.create(BYTES).begin(BYTES + 1), undefined));

test("whatever the order, sequence numbers only rise at the reader", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (steps) => {
      const slots = FrameSlots.create(BYTES);
      let [written, last] = [0, 0];
      for (const isWrite of steps) {
        if (isWrite) {
          written += 1;
          write(slots, written);
          continue;
        }
        const frame = await read(slots);
        if (frame === undefined) continue;
        const sequence = frame[0] as number;
        assert.ok(sequence > last, `${sequence} after ${last}`);
        assert.equal(sequence, written);
        last = sequence;
      }
    }),
  );
});
