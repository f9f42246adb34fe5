import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StreamTime } from "../../src/frame/stream-time.ts";

test("prompt frames are not late; one that waited is as late as it waited", () => {
  const time = new StreamTime();
  assert.deepEqual(
    [
      time.lateness(0, 1000),
      time.lateness(100, 1100),
      time.lateness(200, 3200),
      time.lateness(2300, 3300),
    ].map(Math.round),
    [0, 0, 2000, 0],
  );
});

test("a reader that takes over knows a backlog for what it is", () => {
  const before = new StreamTime();
  before.lateness(0, 1000);
  const alone = new StreamTime();
  const after = new StreamTime(before.originMs);
  assert.equal(alone.lateness(5000, 9000), 0);
  assert.equal(after.lateness(5000, 9000), 3000);
});

test("a crystal 80 ppm off is never late, over a day", () => {
  const time = new StreamTime();
  for (let minute = 0; minute < 24 * 60; minute += 1) {
    const nowMs = minute * 60_000;
    assert.ok(time.lateness(nowMs * (1 - 80e-6), nowMs) < 1);
  }
});

test("lateness is never negative, and zero for the promptest so far", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 50 }),
      (delays) => {
        const time = new StreamTime();
        let least = Number.POSITIVE_INFINITY;
        delays.forEach((delay, i) => {
          const late = time.lateness(i * 100, i * 100 + delay);
          assert.ok(late >= 0);
          if (delay <= least) assert.equal(late, 0);
          least = Math.min(least, delay);
        });
      },
    ),
  );
});

test("a delay that stays is followed at the given rate, a burst of old frames stays old", () => {
  const time = new StreamTime(undefined, 0.05);
  let pts = 0;
  let late = 0;
  const run = (frames: number, delayMs: number): void => {
    for (let frame = 0; frame < frames; frame += 1) {
      pts += 100;
      late = time.lateness(pts, 1000 + pts + delayMs);
    }
  };
  run(50, 0);
  assert.equal(late, 0);
  run(1, 600);
  assert.ok(late > 560, "the first delayed frame is old");
  run(99, 600);
  assert.ok(late < 110, `after ten seconds the delay is the stream's own (${late})`);

  const burst = new StreamTime(undefined, 0.05);
  burst.lateness(0, 1000);
  // Three seconds of silence, then all that waited at once.
  const latenesses = Array.from({ length: 30 }, (_, index) =>
    burst.lateness((index + 1) * 100, 4000),
  );
  assert.ok((latenesses[0] ?? 0) > 2700);
  assert.ok((latenesses[14] ?? 0) > 1300);
  assert.ok((latenesses[29] ?? 0) < 1);
});
