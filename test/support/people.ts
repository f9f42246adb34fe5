/** People who walk up to a camera: clips and stills cut from the shared data by ffmpeg, cached under the system's temporary directory. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CLIPS } from "./models.ts";

/** Three people walk up and stop: a woman (left), a bald man with beard and glasses, a woman with glasses. */
export const THREE_PEOPLE = `${CLIPS}/face-demographics-walking-and-pause.gif`;
/** The left one of them, close, turning her head. */
export const TURNING_HEAD = `${CLIPS}/head-pose-face-detection-female.gif`;

/** Where each one's head is when they have stopped, with room around it, px at 1280×720. */
export const MIDDLE: Part = { x: 430, y: 0, width: 420, height: 720 };
export const LEFT: Part = { x: 0, y: 0, width: 420, height: 720 };
export const RIGHT: Part = { x: 830, y: 0, width: 420, height: 720 };

export interface Part {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Seconds on an idle machine. */
const MAKE_MS = 120_000;
const WIDTH = 1280;
const HEIGHT = 720;
const FPS = 10;
const EMPTY_SECONDS = 3;
/** The recordings are small: scaled up alone they would be softer than what any camera sends. */
const SCALE = `scale=${WIDTH}:${HEIGHT}:flags=lanczos,unsharp=7:7:2`;

/** Nobody is there; a running display on the wall, since no two frames of a live camera are the same bytes. */
export function emptyClip(): Promise<string> {
  return made("mp4", [
    "-filter_complex",
    `${wall(EMPTY_SECONDS)}[out]`,
    "-map",
    "[out]",
    ...h264(),
  ]);
}

export interface VisitOptions {
  /** How much slower than the recording; 1.2 unless told. */
  readonly slower?: number;
  /** Holds the last picture for so long, s; 1 unless told. */
  readonly holdSeconds?: number;
  /** Filters on the 1280×720 picture, e.g. `gblur=sigma=8`. */
  readonly filter?: string;
  /** Begins so far into the recording, s; 0 unless told. */
  readonly fromSeconds?: number;
  /** Ends so far into the recording, s; at its end unless told. */
  readonly untilSeconds?: number;
}

/** The recording once, from its first picture to its last. */
export function visitClip(recording: string, options: VisitOptions = {}): Promise<string> {
  const {
    slower = 1.5,
    holdSeconds = 1.5,
    filter = "null",
    fromSeconds = 0,
    untilSeconds = 60,
  } = options;
  const graph = [
    `[0:v]trim=${fromSeconds}:${untilSeconds},setpts=${slower}*(PTS-STARTPTS),fps=${FPS},${SCALE}`,
    `tpad=stop_mode=clone:stop_duration=${holdSeconds}`,
    // Noise, as every sensor has it: a held picture is no frozen camera.
    `noise=alls=4:allf=t,${filter},scale=${WIDTH}:${HEIGHT},setsar=1,format=yuv420p[out]`,
  ].join(",");
  return made("mp4", ["-i", recording, "-filter_complex", graph, "-map", "[out]", ...h264()]);
}

/** A still (PNG) of a part of the recording, at 1280×720. @param seconds into the recording */
export async function stillOf(
  recording: string,
  seconds: number,
  part: Part = { x: 0, y: 0, width: WIDTH, height: HEIGHT },
  filter = "null",
): Promise<Buffer> {
  const { x, y, width, height } = part;
  const graph = `select=gte(t\\,${seconds}),${SCALE},crop=${width}:${height}:${x}:${y},${filter}`;
  return readFileSync(await made("png", ["-i", recording, "-vf", graph, "-frames:v", "1"]));
}

const wall = (seconds: number): string =>
  `color=c=0x70757a:s=${WIDTH}x${HEIGHT}:r=${FPS}:d=${seconds}[wall];testsrc2=s=96x54:r=${FPS}:d=${seconds}[display];[wall][display]overlay=24:24,format=yuv420p`;

/** As cameras send it and the RTSP server needs it: no B-frames, one slice, two keyframes a second. */
function h264(): string[] {
  return [
    "-an",
    "-r",
    String(FPS),
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-profile:v",
    "baseline",
    "-g",
    String(FPS / 2),
    "-crf",
    "20",
    "-pix_fmt",
    "yuv420p",
  ];
}

async function made(extension: string, args: readonly string[]): Promise<string> {
  const directory = join(tmpdir(), "ostiary-clips");
  mkdirSync(directory, { recursive: true });
  const name = createHash("sha256").update(JSON.stringify(args)).digest("hex").slice(0, 16);
  const path = join(directory, `${name}.${extension}`);
  if (existsSync(path)) return path;
  const partial = join(directory, `${name}.${process.pid}.partial.${extension}`);
  await promisify(execFile)(
    "ffmpeg",
    ["-hide_banner", "-nostdin", "-loglevel", "error", "-y", ...args, partial],
    { timeout: MAKE_MS },
  );
  renameSync(partial, path);
  return path;
}
