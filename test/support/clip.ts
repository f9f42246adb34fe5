/** H.264 clips for the RTSP server, made by ffmpeg and cached under the system's temporary directory. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** A second on an idle machine. */
const MAKE_MS = 60_000;

export interface ClipOptions {
  readonly seconds?: number;
  readonly fps?: number;
  readonly widthPx?: number;
  readonly heightPx?: number;
  /** From one keyframe to the next; 1 unless told. */
  readonly keyframeSeconds?: number;
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
  await promisify(execFile)(
    "ffmpeg",
    ["-hide_banner", "-nostdin", "-loglevel", "error", "-y", ...args, partial],
    { timeout: MAKE_MS },
  );
  renameSync(partial, path);
  return path;
}
