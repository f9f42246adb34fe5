import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { attempted, isPaused, NO_ATTEMPTS } from "../../src/decision/attempts.ts";
import { monotonicMs } from "../../src/lib/brand.ts";

const options = { attemptsPerDoorPerMinuteMax: 3, attemptsPauseMs: 1000 };
const at = monotonicMs;

test("the limit within a minute pauses the door for a while", () => {
  let attempts = attempted(attempted(NO_ATTEMPTS, at(0), options), at(10), options);
  assert.equal(isPaused(attempts, at(10)), false);
  attempts = attempted(attempts, at(20), options);
  assert.equal(isPaused(attempts, at(20)), true);
  assert.equal(isPaused(attempts, at(1019)), true);
  assert.equal(isPaused(attempts, at(1020)), false);
  assert.equal(attempted(attempts, at(500), options), attempts, "nothing counts while it pauses");
});

test("older attempts are forgotten", () => {
  let attempts = attempted(attempted(NO_ATTEMPTS, at(0), options), at(10), options);
  attempts = attempted(attempts, at(60_000), options);
  assert.deepEqual(attempts, { times: [10, 60_000] });
});

test("never more than the limit between two pauses, whatever the times", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 100 }), (waits) => {
      let attempts = NO_ATTEMPTS;
      let now = 0;
      const counted: number[] = [];
      for (const wait of waits) {
        now += wait;
        if (!isPaused(attempts, at(now))) counted.push(now);
        attempts = attempted(attempts, at(now), options);
        assert.ok(attempts.times.length < options.attemptsPerDoorPerMinuteMax);
      }
      for (const [index, time] of counted.entries()) {
        const fourth = counted[index + options.attemptsPerDoorPerMinuteMax];
        if (fourth !== undefined) assert.ok(fourth - time >= options.attemptsPauseMs);
      }
    }),
  );
});
