/** H.264 clips for the RTSP server, made by ffmpeg from pictures and cached under the system's temporary directory. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

export interface ClipOptions {
  readonly seconds?: number;
  readonly fps?: number;
  readonly widthPx?: number;
  readonly heightPx?: number;
  /** From one keyframe to the next; 1 unless told. */
  readonly keyframeSeconds?: number;
}

/** Where the shared data lies, or undefined (then tests that need it say that they are skipped). */
export function sharedData(): string | undefined {
  const shared = resolve(process.env["OSTIARY_SHARED"] ?? "../shared", "data");
  return existsSync(shared) ? shared : undefined;
}

/** A clip of moving shapes that needs no file: an ffmpeg test source. */
export function patternClip(options: ClipOptions = {}): Promise<string> {
  const { seconds = 4, fps = 10, widthPx = 640, heightPx = 360, keyframeSeconds = 1 } = options;
  return cached(
    ["pattern", seconds, fps, widthPx, heightPx],
    [
      ...[
        "-f",
        "lavfi",
        "-i",
        `testsrc2=size=${widthPx}x${heightPx}:rate=${fps}:duration=${seconds}`,
      ],
      ...encode(fps * keyframeSeconds),
    ],
  );
}

/** A clip whose every decoded picture is the same, byte for byte: what a frozen camera sends. */
export function frozenClip(): Promise<string> {
  return cached(
    ["frozen"],
    ["-f", "lavfi", "-i", "color=0x336699:size=320x180:rate=10:duration=2", ...encode(10)],
  );
}

/** A clip from any video or animation that ffmpeg reads, repeated to `seconds`, letterboxed, 1280×720 unless told. */
export function clipFrom(source: string, options: ClipOptions = {}): Promise<string> {
  const { seconds = 8, fps = 10, widthPx = 1280, heightPx = 720 } = options;
  return cached(
    ["from", source, seconds, fps, widthPx, heightPx],
    [
      ...(source.endsWith(".gif") ? ["-ignore_loop", "0"] : ["-stream_loop", "-1"]),
      ...[
        "-i",
        source,
        "-t",
        String(seconds),
        "-vf",
        `fps=${fps},${letterbox(widthPx, heightPx)}`,
        ...encode(fps),
      ],
    ],
  );
}

/** A clip of somebody walking up: a still picture that grows from a quarter of the frame's height to all of it. */
export function walkUpClip(picture: string, options: ClipOptions = {}): Promise<string> {
  const { seconds = 6, fps = 10, widthPx = 1280, heightPx = 720 } = options;
  const size = `(0.25+0.75*min(1,t/${seconds * 0.7}))`;
  const filter = [
    `[1]scale=h='2*trunc(${heightPx}*${size}/2)':w=-2:eval=frame[person]`,
    "[0][person]overlay=x='(W-w)/2+20*sin(t)':y='H-h':eval=frame,format=yuv420p",
  ].join(";");
  return cached(
    ["walk-up", picture, seconds, fps, widthPx, heightPx],
    [
      ...[
        "-f",
        "lavfi",
        "-i",
        `color=0x6a7078:size=${widthPx}x${heightPx}:rate=${fps}:duration=${seconds}`,
      ],
      ...["-loop", "1", "-framerate", String(fps), "-t", String(seconds), "-i", picture],
      ...["-filter_complex", filter, "-t", String(seconds), ...encode(fps)],
    ],
  );
}

function letterbox(widthPx: number, heightPx: number): string {
  return `scale=${widthPx}:${heightPx}:force_original_aspect_ratio=decrease,pad=${widthPx}:${heightPx}:(ow-iw)/2:(oh-ih)/2,format=yuv420p`;
}

/** No B-frames, as the server needs; one slice a picture, as cameras send. */
function encode(keyframeInterval: number): string[] {
  return [
    ...[
      "-an",
      "-c:v",
      "libx264",
      "-preset",
      "veryfast",
      "-g",
      String(keyframeInterval),
      "-pix_fmt",
      "yuv420p",
    ],
    ...["-x264-params", "sliced-threads=0:bframes=0:scenecut=0:rc-lookahead=0"],
  ];
}

async function cached(key: readonly (string | number)[], args: readonly string[]): Promise<string> {
  const directory = join(tmpdir(), "ostiary-clips");
  mkdirSync(directory, { recursive: true });
  const name = createHash("sha256")
    .update(JSON.stringify([key, args]))
    .digest("hex")
    .slice(0, 16);
  const path = join(directory, `${name}.mp4`);
  if (existsSync(path)) return path;
  const partial = join(directory, `${name}.${process.pid}.partial.mp4`);
  await promisify(execFile)("ffmpeg", [
    "-hide_banner",
    "-nostdin",
    "-loglevel",
    "error",
    "-y",
    ...args,
    partial,
  ]);
  renameSync(partial, path);
  return path;
}
