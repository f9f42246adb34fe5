/** Real decoders against a real RTSP server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { patternClip } from "../support/clip.ts";
import { startRtspServer } from "../support/rtsp-server.ts";
import { createRig, isAlive, processTexts, until } from "./rig.ts";

const clip = await patternClip();

test("frames arrive scaled, at the asked rate, with growing presentation times", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await using rig = createRig();
  const camera = rig.start({ id: "door", url: server.url("door"), fps: 5 });
  await until("20 frames came", () => rig.eyes.framesOf(camera.id).length >= 20);
  const frames = rig.eyes.framesOf(camera.id);
  assert.ok(frames.every((frame) => frame.widthPx === 320 && frame.heightPx === 180));
  const steps = frames.slice(1).map((frame, i) => frame.ptsMs - (frames[i]?.ptsMs ?? 0));
  assert.ok(
    steps.every((step) => step > 0),
    `steps ${steps}`,
  );
  const mean = steps.reduce((sum, step) => sum + step, 0) / steps.length;
  assert.ok(mean > 180 && mean < 230, `mean step ${mean} ms`);
  assert.deepEqual(
    [camera.state().status, camera.state().reconnects, camera.state().lastError],
    ["online", 0, undefined],
  );
});

test("the first keyframe is the first frame, and what was looked at to tell the codec is not kept back", async () => {
  const rareKeyframes = await patternClip({ seconds: 20, keyframeSeconds: 10 });
  await using server = await startRtspServer({ mounts: { door: rareKeyframes } });
  await using rig = createRig();
  const startedAt = performance.now();
  const camera = rig.start({ id: "door", url: server.url("door") });
  await until("five frames came", () => rig.eyes.framesOf(camera.id).length >= 5);
  const tookMs = performance.now() - startedAt;
  // Sooner than the next keyframe, ten seconds on.
  assert.ok(tookMs < 8000, `took ${tookMs} ms`);
  const [first, , , , fifth] = rig.eyes.framesOf(camera.id);
  const aheadMs = (fifth?.ptsMs ?? 0) - (first?.ptsMs ?? 0) - ((fifth?.at ?? 0) - (first?.at ?? 0));
  assert.ok(aheadMs < 500, `a backlog of ${aheadMs} ms`);
});

test("the camera goes away and comes back: offline, then online", async () => {
  await using rig = createRig();
  const first = await startRtspServer({ mounts: { door: clip } });
  const camera = rig.start({ id: "door", url: first.url("door"), stallMs: 1500 });
  await until("it is online", () => camera.state().status === "online");
  await first.kill();
  const killedAt = performance.now();
  await until("it is offline", () => camera.state().status === "offline");
  assert.ok(performance.now() - killedAt < 5000);
  await until("the refusal is seen", () => camera.state().lastError === "refused");
  await using _second = await startRtspServer({ mounts: { door: clip }, port: first.port });
  await until("it is online again", () => camera.state().status === "online");
  assert.equal(camera.state().lastError, undefined);
  assert.ok(camera.state().reconnects >= 1);
});

test("a stopped decoder is a stall: its group is killed and another one started", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await using rig = createRig();
  const camera = rig.start({ id: "door", url: server.url("door"), stallMs: 1000 });
  await until("it is online", () => camera.state().status === "online");
  const pid = camera.decoderPid ?? 0;
  process.kill(pid, "SIGSTOP");
  await until("the stall is counted", () => camera.state().stalls === 1);
  await until(
    "it is online with another decoder",
    () => camera.state().status === "online" && camera.decoderPid !== pid,
  );
  assert.equal(isAlive(pid), false);
});

test("a stream that falls silent while its connection stays ends the decoder", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await using rig = createRig();
  const camera = rig.start({ id: "door", url: server.url("door"), stallMs: 1500 });
  await until("it is online", () => camera.state().status === "online");
  await server.command({ freeze: "door" });
  await until("it is offline", () => camera.state().status === "offline");
  await server.command({ thaw: "door" });
  await until("it is online again", () => camera.state().status === "online");
});

test("a wrong password is told as such, waits long, and is written nowhere", async () => {
  await using server = await startRtspServer({
    mounts: { door: clip },
    auth: { user: "keeper", password: "right-horse" },
  });
  await using rig = createRig();
  const secret = "wr0ng'st%40ple";
  const good = rig.start({ id: "good", url: server.url("door") });
  const bad = rig.start({
    id: "bad",
    url: `rtsp://keeper:${secret}@127.0.0.1:${server.port}/door?token=t0psecret`,
  });
  await until("the good one is online", () => good.state().status === "online");
  await until("the bad one is refused", () => bad.state().lastError === "unauthorised");
  await sleep(300);
  assert.equal(bad.state().reconnects, 0, "it waits the longest wait");
  const told = JSON.stringify([rig.log, bad.state(), good.state()]);
  assert.match(told, /unauthorised/);
  for (const word of [secret, decodeURIComponent(secret), "right-horse", "t0psecret", "keeper"]) {
    assert.ok(!told.includes(word), `${word} in logs or state`);
    for (const text of processTexts())
      assert.ok(!text.includes(word), `${word} in ${text.replaceAll("\0", " ").slice(0, 200)}`);
  }
});

test("a dead camera beside a living one does not slow it", async () => {
  await using server = await startRtspServer({ mounts: { living: clip } });
  await using rig = createRig();
  const living = rig.start({ id: "living", url: server.url("living") });
  const dead = rig.start({ id: "dead", url: "rtsp://127.0.0.1:9/none" });
  await until("one is online", () => living.state().status === "online");
  await sleep(3000);
  await until("the dead one was tried again", () => dead.state().reconnects >= 2);
  const times = rig.eyes.framesOf(living.id).map((frame) => frame.ptsMs);
  const meanMs = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / (times.length - 1);
  assert.ok(meanMs > 90 && meanMs < 115, `a frame every ${meanMs} ms`);
  assert.equal(living.state().reconnects, 0);
  assert.deepEqual([dead.state().status, dead.state().lastError], ["offline", "refused"]);
});

test("codes: no such mount, no such file, no video", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await using rig = createRig();
  const mount = rig.start({ id: "mount", url: server.url("nothing") });
  const file = rig.start({ id: "file", url: "file:/nonexistent.mp4", loop: true });
  const noise = rig.start({ id: "noise", url: `file:${process.execPath}`, loop: true });
  await until("the mount is not found", () => mount.state().lastError === "not_found");
  await until("the file is not found", () => file.state().lastError === "not_found");
  await until("the file is no video", () => noise.state().lastError === "bad_stream");
});

test("nothing of a camera is left when it is disposed of", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  const rig = createRig();
  const camera = rig.start({ id: "door", url: server.url("door") });
  await until("it is online", () => camera.state().status === "online");
  const pid = camera.decoderPid ?? 0;
  assert.equal(isAlive(pid), true);
  await rig[Symbol.asyncDispose]();
  assert.equal(isAlive(pid), false);
});
