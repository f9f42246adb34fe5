import assert from "node:assert/strict";
import { test } from "node:test";
import { decoderEnvironment } from "../../src/camera/decoder.ts";
import { decoderCommand } from "../../src/camera/decoder-command.ts";
import { decoderErrorOf, fixOf } from "../../src/camera/decoder-error.ts";
import { CameraOptions } from "../../src/camera/options.ts";

const options = (fields: Record<string, unknown>): CameraOptions =>
  CameraOptions.parse({ id: "door", ...fields });
const SECRET = "rtsp://keeper:it's%20me@10.0.0.5/live?token=t0p";

test("no preset puts any part of the URL on the command line", () => {
  for (const preset of ["software", "vaapi", "jetson"] as const) {
    const { args, stdin } = decoderCommand(preset, options({ url: SECRET }), "/run/x.sock");
    for (const part of ["keeper", "it's", "10.0.0.5", "t0p", "rtsp://"])
      assert.ok(!args.join(" ").includes(part), `${preset}: ${part}`);
    assert.ok(stdin.includes("t0p"));
  }
});

test("the list that ffmpeg reads carries URL and options, quoted", () => {
  const { stdin } = decoderCommand(
    "software",
    options({ url: SECRET, stallMs: 2000, transport: "udp" }),
    "/run/x.sock",
  );
  assert.deepEqual(stdin.split("\n").slice(0, 4), [
    "ffconcat version 1.0",
    "file 'rtsp://keeper:it'\\''s%20me@10.0.0.5/live?token=t0p'",
    "option rtsp_transport udp",
    "option timeout 3500000",
  ]);
});

test("frames leave on a socket of their own, never on stdout, and the muxer keeps no index", () => {
  const { program, args } = decoderCommand("software", options({ url: SECRET }), "/run/x.sock");
  assert.equal(program, "ffmpeg");
  assert.equal(args.at(-1), "unix:/run/x.sock");
  assert.equal(args[args.indexOf("-write_index") + 1], "0");
});

test("files are paced and looped as told; devices are opened as such", () => {
  const words = (fields: Record<string, unknown>): string =>
    decoderCommand("software", options(fields), "/s").args.join(" ");
  assert.match(words({ url: "file:/a.mp4" }), / -re -protocol_whitelist file -i file:\/a\.mp4 /);
  assert.match(
    words({ url: "file:/a.mp4", paced: false, loop: true }),
    /-threads 2 -stream_loop -1 -protocol_whitelist/,
  );
  assert.match(words({ url: "/dev/video3" }), / -f v4l2 -i \/dev\/video3 /);
});

test("vaapi decodes and scales on the card; jetson is GStreamer for cameras and ffmpeg for files", () => {
  assert.match(
    decoderCommand("vaapi", options({ url: SECRET }), "/s").args.join(" "),
    /-hwaccel vaapi .*scale_vaapi=.*hwdownload,format=nv12/,
  );
  const jetson = decoderCommand("jetson", options({ url: SECRET, fps: 8 }), "/s");
  assert.match(jetson.args[0] ?? "", /gst-decoder\.py$/);
  assert.deepEqual(JSON.parse(jetson.stdin), {
    url: SECRET,
    widthPx: 1280,
    heightPx: 720,
    fps: 8,
    transport: "tcp",
    timeoutMs: 6500,
    hardware: "jetson",
  });
  assert.equal(decoderCommand("jetson", options({ url: "file:/a.mp4" }), "/s").program, "ffmpeg");
});

test("a decoder's environment holds nothing that it does not need", () => {
  const kept = decoderEnvironment({
    PATH: "/bin",
    CREDENTIALS_DIRECTORY: "/x",
    OSTIARY_KEY: "k",
    LIBVA_DRIVER_NAME: "iHD",
    GST_DEBUG: "1",
    GSTX: "no",
  });
  assert.deepEqual(kept, {
    PATH: "/bin",
    LIBVA_DRIVER_NAME: "iHD",
    GST_DEBUG: "1",
    LC_ALL: "C.UTF-8",
  });
});

test("last words become codes; the newest that means something counts", () => {
  const said = (...lines: string[]): string => decoderErrorOf(lines, 1);
  assert.equal(
    said(
      "[rtsp @ 0x5] method DESCRIBE failed: 401 Unauthorized",
      "[concat @ 0x5] Impossible to open '***'",
      "pipe:0: Server returned 401 Unauthorized (authorization failed)",
    ),
    "unauthorised",
  );
  assert.equal(said("pipe:0: Server returned 403 Forbidden (access denied)"), "unauthorised");
  assert.equal(said("pipe:0: Server returned 404 Not Found"), "not_found");
  assert.equal(
    said(
      "[tcp @ 0x5] Connection to tcp://127.0.0.1:1?*** failed: Connection refused",
      "pipe:0: Connection refused",
    ),
    "refused",
  );
  assert.equal(said("pipe:0: Connection timed out"), "timeout");
  assert.equal(said("pipe:0: No route to host"), "unreachable");
  assert.equal(
    said("Failed to resolve hostname cam: Name or service not known", "pipe:0: Input/output error"),
    "unresolved",
  );
  assert.equal(said("Stream map '0:v:0' matches no streams."), "no_video");
  assert.equal(said("/x: Invalid data found when processing input"), "bad_stream");
  assert.equal(said("Unauthorized (401)", "Unauthorized"), "unauthorised");
  assert.equal(said("something new"), "decoder_failed");
  assert.equal(said(), "decoder_failed");
  assert.equal(decoderErrorOf(["pipe:0: Connection timed out"], 0), "stream_ended");
  assert.match(fixOf("unauthorised"), /password/);
});
