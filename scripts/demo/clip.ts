/** Makes the demo's clips with ffmpeg from a portrait: an empty corridor, and a person who walks up to the camera. */
import { execFile } from "node:child_process";
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "../../src/lib/fault.ts";

const execute = promisify(execFile);

const WIDTH = 1280;
const HEIGHT = 720;
const FPS = 12;
/** Seconds: the corridor is empty, the person comes nearer, stands, and is gone. */
const ARRIVES = 0.5;
const STANDS = 6.5;
const LEAVES = 8.5;
const WALK_SECONDS = 9.5;
const IDLE_SECONDS = 4;

export interface Clips {
  /** The empty corridor, to be looped. */
  readonly idle: string;
  readonly walk: string;
  /** A still of the portrait for enrolment (PNG). */
  readonly portrait: string;
}

/** The public-domain portrait of Eileen Collins (NASA) that comes with scikit-image. */
export async function findPortrait(root: string): Promise<string> {
  const lib = join(root, ".venv/lib");
  for (const version of await readdir(lib).catch(() => [])) {
    const path = join(lib, version, "site-packages/skimage/data/astronaut.png");
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Fault(
    "portrait_missing",
    "the sample portrait of scikit-image is missing: run scripts/setup.sh",
  );
}

/** @returns paths of new files in `directory`: H.264 without B-frames, a keyframe a second */
export async function makeClips(
  portrait: string,
  directory: string,
  signal: AbortSignal,
): Promise<Clips> {
  const idle = join(directory, "idle.mp4");
  const walk = join(directory, "walk.mp4");
  await Promise.all([
    encode(["-filter_complex", `${corridor(IDLE_SECONDS)}[out]`], idle, signal),
    encode(
      ["-loop", "1", "-framerate", String(FPS), "-i", portrait, "-filter_complex", walkGraph()],
      walk,
      signal,
    ),
  ]);
  return { idle, walk, portrait };
}

/** A wall with a running display on it: no two frames of a live camera are the same bytes. */
const corridor = (seconds: number): string =>
  `color=c=0x70757a:s=${WIDTH}x${HEIGHT}:r=${FPS}:d=${seconds}[wall];` +
  `testsrc2=s=96x54:r=${FPS}:d=${seconds}[display];[wall][display]overlay=24:24`;

function walkGraph(): string {
  const nearness = `(0.35+0.95*min(1,max(0,(t-${ARRIVES})/${STANDS - ARRIVES})))`;
  const side = `trunc(512*${nearness}/2)*2`;
  return [
    `[0:v]scale=w='${side}':h='${side}':eval=frame[person]`,
    `${corridor(WALK_SECONDS)}[corridor]`,
    // Steps: a little sway to the side and up and down.
    `[corridor][person]overlay=x='(W-w)/2+14*sin(2*PI*t/1.7)':y='H-h+5*sin(2*PI*t/0.6)':enable='between(t,${ARRIVES},${LEAVES})':eval=frame[out]`,
  ].join(";");
}

async function encode(input: readonly string[], file: string, signal: AbortSignal): Promise<void> {
  const output = [
    "-map",
    "[out]",
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-profile:v",
    "baseline",
    "-bf",
    "0",
  ];
  const seconds = file.endsWith("walk.mp4") ? WALK_SECONDS : IDLE_SECONDS;
  const rest = [
    "-g",
    String(FPS),
    "-pix_fmt",
    "yuv420p",
    "-crf",
    "27",
    "-r",
    String(FPS),
    "-t",
    String(seconds),
    "-y",
    file,
  ];
  try {
    await execute("ffmpeg", ["-nostdin", "-loglevel", "error", ...input, ...output, ...rest], {
      signal,
      maxBuffer: 1 << 20,
    });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new Fault(
      "clip_failed",
      "ffmpeg could not make the demo's clip: is it installed with libx264? Run scripts/setup.sh",
      { cause },
    );
  }
}
