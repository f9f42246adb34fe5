import assert from "node:assert/strict";
import { test } from "node:test";
import { type HealthCheck, Watchdog, watchdogPeriodMs } from "../../src/system/watchdog.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";

function rig(checks: readonly HealthCheck[]) {
  const clock = new SimulatedClock();
  const log = new RecordingLog();
  const statuses: string[] = [];
  const fed = { count: 0 };
  const notifier = {
    watchdog: () => {
      fed.count += 1;
    },
    status: (status: string) => void statuses.push(status),
  };
  const watchdog = new Watchdog(
    { periodMs: 5000, checkTimeoutMs: 2000, lagMaxMs: 1000 },
    { clock, log, notifier, checks },
  );
  const round = async () => {
    const result = watchdog.runOnce(new AbortController().signal);
    await clock.advance(2500);
    return result;
  };
  return { clock, log, statuses, fed, notifier, watchdog, round };
}

test("fed while every check holds", async () => {
  const { round, fed, statuses } = rig([{ name: "store", probe: () => undefined }]);
  assert.deepEqual(await round(), []);
  assert.equal(fed.count, 1);
  assert.deepEqual(statuses, []);
});

test("a failing, throwing or silent check starves it and is named; recovery is told once", async () => {
  let problem: string | undefined = "no commit for 9 s";
  const { round, fed, statuses, log } = rig([{ name: "store", probe: () => problem }]);
  await round();
  await round();
  assert.equal(fed.count, 0);
  assert.deepEqual(statuses, ["unhealthy: store: no commit for 9 s"]);
  problem = undefined;
  await round();
  assert.equal(fed.count, 1);
  assert.deepEqual(
    log.entries.map((entry) => entry.level),
    ["error", "info"],
  );

  const others = rig([
    {
      name: "gallery",
      probe: () => {
        throw new Error("worker gone");
      },
    },
    { name: "vision", probe: () => new Promise(() => {}) },
  ]);
  assert.deepEqual(await others.round(), [
    { name: "gallery", problem: "worker gone" },
    { name: "vision", problem: "no answer in 2000 ms" },
  ]);
});

test("a late event loop starves it", async () => {
  const { fed, clock, notifier } = rig([]);
  const slow = { ...clock, sleep: () => clock.advance(1500) };
  const late = new Watchdog(
    { periodMs: 5000, checkTimeoutMs: 2000, lagMaxMs: 1000 },
    {
      clock: {
        ...slow,
        epochMs: clock.epochMs,
        monotonicMs: clock.monotonicMs,
        every: clock.every,
      },
      log: new RecordingLog(),
      notifier,
      checks: [],
    },
  );
  assert.deepEqual(await late.runOnce(new AbortController().signal), [
    { name: "event-loop", problem: "late by 1400 ms" },
  ]);
  assert.equal(fed.count, 0);
});

test("period is half of what systemd asks", () => {
  assert.equal(watchdogPeriodMs("30000000"), 15_000);
  assert.equal(watchdogPeriodMs(undefined), undefined);
  assert.equal(watchdogPeriodMs("nonsense"), undefined);
});
