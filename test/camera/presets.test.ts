import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { VAAPI_DEVICE } from "../../src/camera/decoder-command.ts";
import { choosePreset, probePreset, type RunProgram } from "../../src/camera/presets.ts";
import type { CameraId } from "../../src/lib/brand.ts";

const id = "door" as CameraId;
/** Answers by the first argument that is known. */
const machine =
  (answers: Readonly<Record<string, string>>): RunProgram =>
  (program, args) => {
    const key = [...args, program].find((word) => word in answers);
    return Promise.resolve(
      key === undefined ? { ok: false, output: "" } : { ok: true, output: answers[key] ?? "" },
    );
  };
const DECODERS = " V....D h264                 H.264\n VFS..D hevc                 HEVC\n";

test("software works on this machine", async () => {
  assert.deepEqual(await probePreset("software"), { kind: "ok" });
});

test("what is missing is named", async () => {
  const told = async (run: RunProgram): Promise<string> => {
    const probe = await probePreset("software", undefined, run);
    return probe.kind === "ok" ? "ok" : probe.message;
  };
  assert.equal(await told(machine({})), "ffmpeg is not installed");
  assert.equal(
    await told(machine({ "-version": "ffmpeg version 4.4.1-3ubuntu5" })),
    "ffmpeg 4.4 is too old: 5.1 or newer is needed",
  );
  assert.equal(
    await told(machine({ "-version": "ffmpeg version n7.1", "-decoders": " V....D h264   x\n" })),
    "ffmpeg cannot decode hevc",
  );
  assert.equal(
    await told(machine({ "-version": "ffmpeg version N-1234-gabc", "-decoders": DECODERS })),
    "ok",
  );
});

test("jetson without JetPack names the elements", async () => {
  const probe = await probePreset("jetson");
  assert.match(
    probe.kind === "missing" ? probe.message : "ok",
    /nvv4l2decoder, nvvidconv|python3-gi|^ok$/,
  );
});

test("vaapi without a card names the device", {
  skip: existsSync(VAAPI_DEVICE) ? "this machine has one" : false,
}, async () => {
  const probe = await probePreset("vaapi");
  assert.match(probe.kind === "missing" ? probe.message : "", /renderD128/);
});

test("software stands in only when the configuration allows it", async () => {
  const run = machine({ "-version": "ffmpeg version 5.1.9", "-decoders": DECODERS });
  const chosen = await choosePreset({ id, preset: "jetson", presetFallback: true }, undefined, run);
  assert.equal(chosen.preset, "software");
  assert.equal(chosen.fallbackFrom?.preset, "jetson");
  await assert.rejects(
    choosePreset({ id, preset: "jetson", presetFallback: false }, undefined, run),
    { code: "preset_missing", message: /camera door: preset jetson .*presetFallback/ },
  );
  await assert.rejects(
    choosePreset({ id, preset: "software", presetFallback: true }, undefined, machine({})),
    { code: "preset_missing", message: /setup\.sh/ },
  );
});
