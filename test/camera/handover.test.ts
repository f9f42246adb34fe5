/** The decoder outlives the process that reads its frames: the socket goes from one to the next. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Camera, FrameSink } from "../../src/camera/supervisor.ts";
import type { CameraHealthMessage } from "../../src/observation/messages.ts";
import { end } from "../support/children.ts";
import { patternClip } from "../support/clip.ts";
import { startRtspServer } from "../support/rtsp-server.ts";
import { within } from "../support/waiting.ts";
import { createRig, until } from "./rig.ts";

const clip = await patternClip();

type FromEye =
  | { readonly kind: "health"; readonly health: CameraHealthMessage }
  | { readonly kind: "stream-header"; readonly bytes: Uint8Array };

/** Main's handle on one reader process. */
function startReader(camera: () => Camera | undefined): {
  readonly child: ChildProcess;
  readonly sink: FrameSink;
  readonly frames: () => number;
} {
  const child = fork(new URL("./eye-process.ts", import.meta.url), { serialization: "advanced" });
  let received = 0;
  child.on("message", (message: FromEye) => {
    if (message.kind === "stream-header") return camera()?.onStreamHeader(message.bytes);
    received = message.health.framesReceived;
    camera()?.onHealth(message.health);
  });
  const sink: FrameSink = {
    attach: (cameraId, socket, header) =>
      void child.send({ cameraId, header }, socket, { keepOpen: true }),
    detach: () => undefined,
  };
  return { child, sink, frames: () => received };
}

test("the reader dies of SIGKILL; the next one goes on with the same decoder", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await using rig = createRig();
  let camera: Camera | undefined;
  let reader = startReader(() => camera);
  const sink: FrameSink = {
    attach: (...args) => reader.sink.attach(...args),
    detach: (id) => reader.sink.detach(id),
  };
  // A stall time shorter than the gap: were it held against the camera, the decoder would be replaced.
  camera = rig.start({ id: "door", url: server.url("door"), stallMs: 1000 }, sink);
  const watched = camera;
  await until("it is online", () => watched.state().status === "online");
  await until("ten frames came", () => reader.frames() >= 10);
  const pid = watched.decoderPid;

  for (let round = 0; round < 2; round += 1) {
    await end(reader.child, "SIGKILL");
    watched.visionLost();
    await sleep(1300);
    assert.equal(watched.state().status, "degraded");
    reader = startReader(() => camera);
    await within(once(reader.child, "spawn"), "the reader starts");
    watched.visionBack();
    await until("frames go on", () => reader.frames() > 3);
    await until("it is online again", () => watched.state().status === "online");
    const before = reader.frames();
    await until("they go on coming", () => reader.frames() - before >= 12);
  }
  assert.equal(watched.decoderPid, pid, "the decoder is the same");
  assert.deepEqual([watched.state().reconnects, watched.state().stalls], [0, 0]);
  await end(reader.child, "SIGKILL");
});
