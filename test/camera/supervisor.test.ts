/** What a camera does between decoders; the decoders are real, the clock is simulated. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CameraOptions } from "../../src/camera/options.ts";
import { Camera } from "../../src/camera/supervisor.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";
import { until } from "./rig.ts";

test("a camera that is away: waits grow to the local limit, one warning, nothing piles up on the signal", async () => {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const log = new RecordingLog();
  const clock = new SimulatedClock();
  const stop = new AbortController();
  const options = CameraOptions.parse({ id: "door", url: "file:/nonexistent.mp4", loop: true });
  const frames = { attach: () => assert.fail("nothing to attach"), detach: () => undefined };
  const camera = new Camera(options, { clock, log, random: () => 0, runtimeDirectory, frames });
  const statuses: string[] = [];
  camera.onStateChange((state) => statuses.push(state.status));
  assert.equal(camera.state().status, "starting");
  const running = camera.run(stop.signal);

  const losses = () => log.entries.filter((entry) => entry.message.startsWith("camera lost"));
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await until(`loss ${attempt}`, () => losses().length === attempt + 1);
    await sleep(5);
    await clock.advance(1000);
  }
  assert.deepEqual(
    losses().map((entry) => entry.fields["waitMs"]),
    [250, 500, 500, 500, 500],
  );
  assert.deepEqual(
    losses().map((entry) => entry.level),
    ["warn", "debug", "debug", "debug", "debug"],
  );
  assert.equal(losses()[0]?.fields["code"], "not_found");
  assert.deepEqual([...new Set(statuses)], ["offline"]);
  assert.ok(getEventListeners(stop.signal, "abort").length <= 2);

  stop.abort();
  await running;
  await camera[Symbol.asyncDispose]();
  rmSync(runtimeDirectory, { recursive: true });
});

test("no decoder is started while nobody would read its frames", async () => {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const clock = new SimulatedClock();
  const stop = new AbortController();
  const options = CameraOptions.parse({ id: "door", url: "file:/nonexistent.mp4", loop: true });
  const frames = { attach: () => undefined, detach: () => undefined };
  const camera = new Camera(options, {
    clock,
    log: new RecordingLog(),
    random: () => 0,
    runtimeDirectory,
    frames,
  });
  camera.visionLost();
  const running = camera.run(stop.signal);
  await clock.advance(60_000);
  assert.deepEqual(
    [camera.state().status, camera.state().reconnects, camera.decoderPid],
    ["starting", 0, undefined],
  );
  camera.visionBack();
  await until("it has tried", () => camera.state().lastError === "not_found");
  stop.abort();
  await running;
  rmSync(runtimeDirectory, { recursive: true });
});
