/** One person's faces over time in one camera. */

import type { Face } from "../face/face.ts";
import type { CapturedAt } from "../frame/frame.ts";
import type { TrackId } from "../lib/brand.ts";

export interface Track {
  readonly id: TrackId;
  readonly face: Face;
  readonly startedAt: CapturedAt;
  readonly seenAt: CapturedAt;
  /** Frames in which the face was found. */
  readonly hits: number;
}
