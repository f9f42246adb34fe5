/** A face found in one frame. */
import type { Box, Point } from "../frame/frame.ts";

/** Order of YuNet: the person's right eye (left in the picture), left eye, nose tip, right and left mouth corner. */
export type Landmarks = readonly [Point, Point, Point, Point, Point];

export interface Face {
  /** In frame pixels; may reach beyond the frame. */
  readonly box: Box;
  readonly landmarks: Landmarks;
  /** Detector score in [0, 1]: sqrt(class × objectness). */
  readonly score: number;
}

export const QUALITY_REASONS = [
  "too_small",
  "blurred",
  "dark",
  "bright",
  "turned",
  "clipped",
  "landmarks",
] as const;
export type QualityReason = (typeof QUALITY_REASONS)[number];

/** What was measured on one face. Enrolment and probe use the same measures with different limits. */
export interface QualityMeasures {
  /** Distance between the eyes, in frame pixels. */
  readonly eyeDistancePx: number;
  /** Shorter side of the box, in frame pixels. */
  readonly sizePx: number;
  /** Variance of the Laplacian on the grey aligned crop (uint8 scale). */
  readonly sharpness: number;
  /** Mean grey level of the aligned crop in [0, 255]. */
  readonly brightness: number;
  /** Estimated yaw and pitch as signed fractions from the landmarks: 0 frontal, ±1 profile. */
  readonly yaw: number;
  readonly pitch: number;
  /** In-plane rotation of the eye line, degrees. */
  readonly rollDegrees: number;
  /** Share of the box's area that lies inside the frame, in [0, 1]. */
  readonly insideShare: number;
}
