/** Pictures and clips of one person, made by ffmpeg from the portrait that set-up installs. */
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { findPortrait } from "../../scripts/demo/clip.ts";

export const WIDTH = 1280;
export const HEIGHT = 720;
const FPS = 10;
const ROOT = resolve(import.meta.dirname, "../..");

/** The portrait, 512×512. */
export const portrait = (): Promise<string> => findPortrait(ROOT);

/** One 720p frame with the person in its middle, her eyes some 60 px apart. */
export async function frame(pixelFormat: "nv12" | "rgb24"): Promise<Buffer> {
  const graph = `scale=w=${HEIGHT}:h=${HEIGHT},pad=${WIDTH}:${HEIGHT}:(ow-iw)/2:0:color=0x70757a`;
  const output = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", pixelFormat, "-"];
  return execFileSync(
    "ffmpeg",
    ["-nostdin", "-v", "error", "-i", await portrait(), "-vf", graph, ...output],
    { maxBuffer: 1 << 24 },
  );
}

export interface Presence {
  /** When she appears, s; she stands there at once. */
  readonly from: number;
  readonly until: number;
  readonly seconds: number;
}

/** Nobody for `from` seconds, then the person, then nobody again. */
export async function visitClip({ from, until, seconds }: Presence): Promise<string> {
  const graph = [
    `color=c=0x70757a:s=${WIDTH}x${HEIGHT}:r=${FPS}:d=${seconds}[wall]`,
    "[0:v]scale=w=660:h=660[person]",
    `[wall][person]overlay=x='(W-w)/2+10*sin(2*PI*t/1.7)':y='H-h':enable='between(t,${from},${until})':eval=frame`,
  ].join(";");
  // Noise, as every sensor has it: two frames of a live camera are never the same bytes.
  return made(
    ["-loop", "1", "-framerate", String(FPS), "-i", await portrait()],
    `${graph},noise=alls=4:allf=t,format=yuv420p[out]`,
    seconds,
  );
}

/** No B-frames, as the RTSP server needs it; two keyframes a second. */
async function made(input: readonly string[], graph: string, seconds: number): Promise<string> {
  const directory = join(tmpdir(), "ostiary-clips");
  mkdirSync(directory, { recursive: true });
  const key = JSON.stringify([graph, seconds]);
  const path = join(
    directory,
    `bench-${createHash("sha256").update(key).digest("hex").slice(0, 16)}.mp4`,
  );
  if (existsSync(path)) return path;
  const partial = path.replace(/mp4$/, `${process.pid}.partial.mp4`);
  const encode = ["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "baseline", "-crf", "20"];
  const args = [
    ...["-nostdin", "-v", "error", "-y", ...input, "-filter_complex", graph, "-map", "[out]"],
    ...[...encode, "-g", String(FPS / 2), "-r", String(FPS), "-t", String(seconds), partial],
  ];
  await promisify(execFile)("ffmpeg", args);
  renameSync(partial, path);
  return path;
}
