import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs } from "../../src/lib/brand.ts";
import { createClock, monotonicMicros, rfc3339 } from "../../src/system/clock.ts";
import { createRandom, uuid7 } from "../../src/system/random.ts";

test("sleep ends at once when the signal aborts, and never rejects", async () => {
  const clock = createClock();
  const abort = new AbortController();
  const before = clock.monotonicMs();
  const slept = clock.sleep(60_000, abort.signal);
  abort.abort();
  await slept;
  await clock.sleep(60_000, abort.signal);
  assert.ok(clock.monotonicMs() - before < 5000);
});

test("every repeats until stopped", async () => {
  const clock = createClock();
  let count = 0;
  await new Promise<void>((resolve) => {
    const stop = clock.every(1, () => {
      count += 1;
      if (count === 3) {
        stop();
        resolve();
      }
    });
  });
  await clock.sleep(5);
  assert.equal(count, 3);
});

test("monotonic time is the machine's, in two units", () => {
  const ms = createClock().monotonicMs();
  const micros = Number(monotonicMicros());
  assert.ok(Math.abs(micros / 1000 - ms) < 1000);
});

test("times print as RFC 3339", () =>
  assert.equal(rfc3339(epochMs(0)), "1970-01-01T00:00:00.000Z"));

test("ids sort by time and carry version and variant", () => {
  const entropy = new Uint8Array(10).fill(255);
  assert.equal(uuid7(epochMs(0x0123456789ab), entropy), "01234567-89ab-7fff-bfff-ffffffffffff");
  const random = createRandom();
  assert.ok(random.id(epochMs(1000)) < random.id(epochMs(2000)));
  const unit = random.unit();
  assert.ok(unit >= 0 && unit < 1);
});
