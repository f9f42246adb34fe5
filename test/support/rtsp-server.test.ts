import assert from "node:assert/strict";
import { test } from "node:test";
import { patternClip } from "./clip.ts";
import { startRtspServer } from "./rtsp-server.ts";

const clip = await patternClip();

test("a command to a server that was killed is refused at once", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  await server.command({ freeze: "door" });
  await server.kill();
  assert.equal(server.running, false);
  await assert.rejects(server.command({ thaw: "door" }), /RTSP server is not running: .*thaw/);
});

test("a server that dies over a command says why", async () => {
  await using server = await startRtspServer({ mounts: { door: clip } });
  const play = server.command({ play: "door", clip: "/nowhere.mp4" });
  await assert.rejects(play, /not running: .*no clip at \/nowhere\.mp4/s);
});

test("a server that cannot start says why", async () => {
  await assert.rejects(startRtspServer({ mounts: { door: "/nowhere.mp4" } }), /no clip at/);
});
