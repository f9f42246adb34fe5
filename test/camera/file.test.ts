/** Files as cameras, frozen pictures, and the GStreamer decoder in software. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Decoder } from "../../src/camera/decoder.ts";
import { decoderCommand } from "../../src/camera/decoder-command.ts";
import { CameraOptions } from "../../src/camera/options.ts";
import type { CameraId } from "../../src/lib/brand.ts";
import { createClock } from "../../src/system/clock.ts";
import { frozenClip, patternClip } from "../support/clip.ts";
import { startRtspServer } from "../support/rtsp-server.ts";
import { Eye } from "./eyes.ts";
import { createRig, until } from "./rig.ts";

const clip = await patternClip();

test("a file as fast as possible, once: all its frames, then offline for good", async () => {
  await using rig = createRig();
  const camera = rig.start({ id: "door", url: `file:${clip}`, paced: false, fps: 60 });
  await camera.run(new AbortController().signal);
  assert.equal(camera.state().lastError, "stream_ended");
  assert.deepEqual([camera.state().status, camera.state().reconnects], ["offline", 0]);
  assert.equal(rig.eyes.framesOf(camera.id).length, 40);
});

test("a paced file that loops goes on past its end, at its own speed", async () => {
  await using rig = createRig();
  const camera = rig.start({ id: "door", url: `file:${clip}`, loop: true, fps: 10 });
  await until("it has looped", () => rig.eyes.framesOf(camera.id).length > 45);
  const frames = rig.eyes.framesOf(camera.id);
  const spanMs = (frames.at(-1)?.at ?? 0) - (frames[0]?.at ?? 0);
  assert.ok(spanMs > 4000, `${frames.length} frames in ${spanMs} ms`);
  assert.equal(camera.state().reconnects, 0);
});

test("a frozen picture is shown, counted, and reconnected ever more slowly", async () => {
  await using rig = createRig();
  const camera = rig.start({
    id: "door",
    url: `file:${await frozenClip()}`,
    loop: true,
    frozenMs: 600,
  });
  const statuses: string[] = [];
  camera.onStateChange((state) => statuses.push(state.status));
  await until("it was reconnected twice", () => camera.state().frozen === 2);
  await until("it is frozen again", () => camera.state().status === "frozen");
  assert.deepEqual([camera.state().stalls, camera.state().drifts], [0, 0]);
  assert.ok(statuses.includes("frozen") && statuses.includes("offline"));
});

test("a missing decoder program is a code, not a crash", async () => {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const command = () => ({ program: "/nonexistent/ffmpeg", args: [], stdin: "" });
  const decoder = await Decoder.open(
    { command, runtimeDirectory, name: "door-1", redact: (line) => line },
    { clock: createClock() },
  );
  assert.equal((await decoder.ended).code, "decoder_missing");
  await decoder[Symbol.asyncDispose]();
  rmSync(runtimeDirectory, { recursive: true });
});

test("a socket path that the kernel would cut is refused by name", async () => {
  const command = () => ({ program: "true", args: [], stdin: "" });
  const runtimeDirectory = `/tmp/${"x".repeat(120)}`;
  await assert.rejects(
    Decoder.open(
      { command, runtimeDirectory, name: "door", redact: (line) => line },
      { clock: createClock() },
    ),
    { code: "path_too_long" },
  );
});

test("diagnostics are bounded and redacted before they are kept", async () => {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const script =
    'i=0; while [ $i -lt 300 ]; do echo "line $i rtsp://u:secret@h/x" >&2; i=$((i+1)); done; head -c 100000 /dev/zero | tr "\\0" "y" >&2; exit 3';
  const command = () => ({ program: "sh", args: ["-c", script], stdin: "" });
  await using decoder = await Decoder.open(
    {
      command,
      runtimeDirectory,
      name: "door-1",
      redact: (line) => line.replaceAll("secret", "***"),
    },
    { clock: createClock() },
  );
  const end = await decoder.ended;
  assert.deepEqual([end.code, end.exitCode], ["decoder_failed", 3]);
  assert.equal(decoder.lines.length, 100);
  assert.ok(decoder.lines.every((line) => line.length <= 500 && !line.includes("secret")));
  rmSync(runtimeDirectory, { recursive: true });
});

test("the GStreamer decoder (its hardware replaced by openh264) speaks the same container", async () => {
  await using server = await startRtspServer({
    mounts: { door: clip },
    auth: { user: "keeper", password: "p@ss w" },
  });
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const url = `rtsp://keeper:p%40ss%20w@127.0.0.1:${server.port}/door`;
  const options = CameraOptions.parse({ id: "door", url, widthPx: 322, heightPx: 200, fps: 5 });
  const command = (path: string) => {
    const made = decoderCommand("jetson", options, path);
    return { ...made, stdin: made.stdin.replace('"hardware":"jetson"', '"hardware":"none"') };
  };
  {
    await using decoder = await Decoder.open(
      { command, runtimeDirectory, name: "door-1", redact: (line) => line },
      { clock: createClock() },
    );
    const eye = new Eye("door" as CameraId, await decoder.connected, undefined);
    await until("ten frames came", () => eye.frames.length >= 10);
    const last = eye.frames.at(-1);
    assert.deepEqual([last?.widthPx, last?.heightPx], [322, 180]);
    assert.ok(
      Math.abs((last?.ptsMs ?? 0) - (eye.frames.length - 1) * 200) < 250,
      `pts ${last?.ptsMs}`,
    );
    assert.equal(eye.health().resyncs, 0);
  }
  rmSync(runtimeDirectory, { recursive: true });
});
