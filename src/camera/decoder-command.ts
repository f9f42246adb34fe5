/** The decoder's command line: what is written where, and that no secret is on it. */
import type { CameraOptions, Preset } from "./options.ts";
import { type CameraSource, sourceOf } from "./source.ts";

export interface DecoderCommand {
  readonly program: string;
  /** Visible to every user of the machine: holds no URL of a camera. */
  readonly args: readonly string[];
  /** Written to the decoder's stdin, which is then closed. */
  readonly stdin: string;
}

type Picture = Pick<
  CameraOptions,
  "url" | "widthPx" | "heightPx" | "fps" | "transport" | "stallMs" | "paced" | "loop"
>;

/** The interpreter that the OS packages its GStreamer bindings for. */
export const GSTREAMER_PYTHON = "/usr/bin/python3";
export const GSTREAMER_SCRIPT = new URL("./gst-decoder.py", import.meta.url).pathname;
export const VAAPI_DEVICE = "/dev/dri/renderD128";

/** @param socketPath where main listens for the frames, as NUT */
export function decoderCommand(
  preset: Preset,
  options: Picture,
  socketPath: string,
): DecoderCommand {
  if (preset !== "jetson") return ffmpeg(preset, options, socketPath);
  // GStreamer serves cameras on the network; a file or a device is decoded in software.
  return sourceOf(options.url).kind === "rtsp"
    ? gstreamer(options, socketPath)
    : ffmpeg("software", options, socketPath);
}

/** Later than the stall rule: a decoder that gives up flushes what it held back, and that would look like progress. */
function ioTimeoutMs(options: Picture): number {
  return options.stallMs + 1500;
}

function ffmpeg(
  preset: "software" | "vaapi",
  options: Picture,
  socketPath: string,
): DecoderCommand {
  const source = sourceOf(options.url);
  const hardware =
    preset === "vaapi"
      ? ["-hwaccel", "vaapi", "-hwaccel_device", VAAPI_DEVICE, "-hwaccel_output_format", "vaapi"]
      : [];
  const args = [
    ...["-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning"],
    // Frame threads would hold back a frame each; low_delay leaves slices only.
    ...["-fflags", "discardcorrupt+genpts", "-flags", "low_delay", "-threads", "2", ...hardware],
    ...input(source, options),
    ...["-map", "0:v:0", "-an", "-sn", "-dn", "-map_metadata", "-1"],
    ...[
      "-vf",
      filters(preset, options),
      "-fps_mode",
      "passthrough",
      "-c:v",
      "rawvideo",
      "-pix_fmt",
      "nv12",
    ],
    // Without write_index 0 the muxer remembers every frame's place, for ever.
    ...["-flush_packets", "1", "-write_index", "0", "-f", "nut", `unix:${socketPath}`],
  ];
  return {
    program: "ffmpeg",
    args,
    stdin: source.kind === "rtsp" ? concatList(source.url, options) : "",
  };
}

function input(source: CameraSource, options: Picture): readonly string[] {
  switch (source.kind) {
    case "rtsp":
      return [
        ...["-analyzeduration", "0", "-fpsprobesize", "0", "-f", "concat", "-safe", "0"],
        ...["-protocol_whitelist", "pipe,rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto", "-i", "pipe:0"],
      ];
    case "file":
      return [
        ...(options.paced ? ["-re"] : []),
        ...(options.loop ? ["-stream_loop", "-1"] : []),
        "-protocol_whitelist",
        "file",
        "-i",
        `file:${source.path}`,
      ];
    case "device":
      return ["-f", "v4l2", "-i", source.path];
  }
}

/** ffmpeg's list format (ffmpeg-formats(1), "concat"): per-file options are lines of their own since 5.0. */
function concatList(url: string, options: Picture): string {
  const lines = [
    "ffconcat version 1.0",
    `file '${url.replaceAll("'", "'\\''")}'`,
    `option rtsp_transport ${options.transport}`,
    `option timeout ${ioTimeoutMs(options) * 1000}`,
    "option allowed_media_types video",
    // Half a second tells the codec; by default seconds would be held back to guess the frame rate.
    // (`fflags nobuffer` would throw away what was looked at: the keyframe, so a whole keyframe interval.)
    "option analyzeduration 500000",
    "option fpsprobesize 0",
  ];
  return `${lines.join("\n")}\n`;
}

/** Drops first, then scales: never makes frames up, keeps presentation times. */
function filters(preset: "software" | "vaapi", options: Picture): string {
  const slot = (time: string): string => `floor(${time}*${options.fps}+0.5)`;
  const drop = `select='isnan(prev_selected_t)+gt(${slot("t")},${slot("prev_selected_t")})'`;
  const size = `w='min(${options.widthPx},iw)':h='min(${options.heightPx},ih)':force_original_aspect_ratio=decrease:force_divisible_by=2`;
  return preset === "vaapi"
    ? `${drop},scale_vaapi=${size}:format=nv12:out_color_matrix=bt601:out_range=limited,hwdownload,format=nv12`
    : `${drop},scale=${size}:flags=bilinear:out_color_matrix=bt601:out_range=limited,format=nv12`;
}

function gstreamer(options: Picture, socketPath: string): DecoderCommand {
  const { url, widthPx, heightPx, fps, transport } = options;
  const request = {
    url,
    widthPx,
    heightPx,
    fps,
    transport,
    timeoutMs: ioTimeoutMs(options),
    hardware: "jetson",
  };
  return {
    program: GSTREAMER_PYTHON,
    args: [GSTREAMER_SCRIPT, socketPath],
    stdin: `${JSON.stringify(request)}\n`,
  };
}
