/** Where the person comes from: the clip over RTSP, or somebody real in front of a real camera. */
import { readFile } from "node:fs/promises";
import type { Clips } from "./clip.ts";
import type { RtspCamera } from "./rtsp-camera.ts";

export interface Stage {
  readonly url: string;
  /** Without credentials. */
  readonly description: string;
  /** Whether the person's entrance can be commanded. */
  readonly kind: "clip" | "live";
  /** Lets the person walk up now; on a live stage somebody must be asked to. */
  readonly enter: () => void;
  /** From the entrance until nobody is in the picture and the track has ended. */
  readonly walkMs: number;
  /** A picture for enrolment; none on a live stage: enrolment is guided there. */
  readonly portrait: (() => Promise<Uint8Array>) | undefined;
}

/** The clip's length, and the tracker's patience. */
const CLIP_WALK_MS = 12_500;
const LIVE_WALK_MS = 90_000;

export function clipStage(camera: RtspCamera, clips: Clips): Stage {
  return {
    url: camera.url,
    description:
      "a clip of the public-domain portrait of astronaut Eileen Collins (NASA), over RTSP on loopback",
    kind: "clip",
    enter: () => camera.play(clips.walk),
    walkMs: CLIP_WALK_MS,
    portrait: () => readFile(clips.portrait),
  };
}

export function liveStage(url: string): Stage {
  const host = /^rtsps?:/.test(url) && URL.canParse(url) ? new URL(url).host : url;
  return {
    url,
    description: `your camera at ${host}`,
    kind: "live",
    enter: () => undefined,
    walkMs: LIVE_WALK_MS,
    portrait: undefined,
  };
}
