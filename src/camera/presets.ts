/** Does a decoder preset work on this machine? Asked at start, answered with what is missing. */
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { Fault } from "../lib/fault.ts";
import { decoderEnvironment } from "./decoder.ts";
import { GSTREAMER_PYTHON, GSTREAMER_SCRIPT, VAAPI_DEVICE } from "./decoder-command.ts";
import type { CameraOptions, Preset } from "./options.ts";

export type PresetProbe =
  | { readonly kind: "ok" }
  | { readonly kind: "missing"; readonly message: string };

interface Answer {
  readonly ok: boolean;
  readonly output: string;
}
export type RunProgram = (
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
) => Promise<Answer>;

const PROBE_MS = 15_000;

/** @param run how programs are run; replaced in tests */
export async function probePreset(
  preset: Preset,
  signal?: AbortSignal,
  run: RunProgram = runProgram,
): Promise<PresetProbe> {
  switch (preset) {
    case "software":
      return probeFfmpeg(run, signal);
    case "vaapi": {
      const ffmpeg = await probeFfmpeg(run, signal);
      return ffmpeg.kind === "ok" ? probeVaapi(run, signal) : ffmpeg;
    }
    case "jetson":
      return probeJetson(run, signal);
  }
}

/**
 * The preset that a camera gets: its own, or software where the configuration allows it.
 *
 * @throws Fault `preset_missing` naming what is missing and the fix
 */
export async function choosePreset(
  options: Pick<CameraOptions, "id" | "preset" | "presetFallback">,
  signal?: AbortSignal,
  run: RunProgram = runProgram,
): Promise<{
  readonly preset: Preset;
  readonly fallbackFrom?: { readonly preset: Preset; readonly message: string };
}> {
  const probe = await probePreset(options.preset, signal, run);
  if (probe.kind === "ok") return { preset: options.preset };
  const software =
    options.presetFallback && options.preset !== "software"
      ? await probePreset("software", signal, run)
      : probe;
  if (software.kind === "ok")
    return { preset: "software", fallbackFrom: { preset: options.preset, message: probe.message } };
  const hint =
    options.preset === "software"
      ? "run scripts/setup.sh"
      : "choose preset: software, or presetFallback: true";
  throw new Fault(
    "preset_missing",
    `camera ${options.id}: preset ${options.preset} does not work here: ${software.message}; ${hint}`,
  );
}

async function probeFfmpeg(run: RunProgram, signal?: AbortSignal): Promise<PresetProbe> {
  const version = await run("ffmpeg", ["-hide_banner", "-version"], signal);
  if (!version.ok) return missing("ffmpeg is not installed");
  // Builds from git have no such number and are new enough.
  const [, major, minor] = /ffmpeg version n?(\d+)\.(\d+)/.exec(version.output) ?? [];
  if (major !== undefined && Number(major) * 100 + Number(minor) < 501)
    return missing(`ffmpeg ${major}.${minor} is too old: 5.1 or newer is needed`);
  const decoders = await run("ffmpeg", ["-hide_banner", "-decoders"], signal);
  const absent = ["h264", "hevc"].filter(
    (name) => !new RegExp(`^ V\\S+ ${name} `, "m").test(decoders.output),
  );
  return absent.length === 0
    ? { kind: "ok" }
    : missing(`ffmpeg cannot decode ${absent.join(" and ")}`);
}

async function probeVaapi(run: RunProgram, signal?: AbortSignal): Promise<PresetProbe> {
  const device = await access(VAAPI_DEVICE).then(
    () => true,
    () => false,
  );
  if (!device)
    return missing(
      `${VAAPI_DEVICE} does not exist or may not be used: no VAAPI graphics, or this user is not in group render`,
    );
  const trial = await run(
    "ffmpeg",
    [
      ...[
        "-hide_banner",
        "-loglevel",
        "error",
        "-init_hw_device",
        `vaapi=gpu:${VAAPI_DEVICE}`,
        "-filter_hw_device",
        "gpu",
      ],
      ...[
        "-f",
        "lavfi",
        "-i",
        "color=size=128x128",
        "-frames:v",
        "1",
        "-vf",
        "format=nv12,hwupload,scale_vaapi=64:64,hwdownload,format=nv12",
        "-f",
        "null",
        "-",
      ],
    ],
    signal,
  );
  return trial.ok
    ? { kind: "ok" }
    : missing(
        `VAAPI does not work on ${VAAPI_DEVICE}: ${trial.output.trim().split("\n").at(-1) ?? ""}`,
      );
}

async function probeJetson(run: RunProgram, signal?: AbortSignal): Promise<PresetProbe> {
  const answer = await run(GSTREAMER_PYTHON, [GSTREAMER_SCRIPT, "--probe"], signal);
  if (answer.ok) return { kind: "ok" };
  if (/^[a-z0-9 ]+$/.test(answer.output.trim())) {
    return missing(
      `GStreamer has no ${answer.output.trim().replaceAll(" ", ", ")}: this preset needs JetPack's GStreamer plugins`,
    );
  }
  return missing(
    "GStreamer's Python bindings are not installed (python3-gi, gir1.2-gst-plugins-base-1.0)",
  );
}

const missing = (message: string): PresetProbe => ({ kind: "missing", message });

function runProgram(
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { signal, timeout: PROBE_MS, maxBuffer: 1 << 20, env: decoderEnvironment() },
      (error, stdout, stderr) => {
        resolve({ ok: error === null, output: `${stdout}${stderr}` });
      },
    );
  });
}
