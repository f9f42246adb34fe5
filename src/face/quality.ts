/** Whether a face is good enough to be recognised or enrolled: measures, then reasons by limits. */
import type { Box, Point } from "../frame/frame.ts";
import { area, intersection } from "../frame/geometry.ts";
import type { Face, QualityMeasures, QualityReason } from "./face.ts";

/** What the pixels of the aligned crop say; the rest follows from geometry. */
export interface CropStatistics {
  /** Variance of the Laplacian on the grey crop. */
  readonly sharpness: number;
  /** Mean grey level. */
  readonly brightness: number;
}

/** Limits of one use (probe or enrolment); see the configuration's `vision.probe`. */
export interface QualityLimits {
  readonly eyeDistanceMinPx: number;
  readonly sharpnessMin: number;
  readonly brightnessMin: number;
  readonly brightnessMax: number;
  readonly yawMax: number;
  readonly pitchMax: number;
  readonly insideShareMin: number;
}

/** Where the nose tip of a frontal face lies between the eye line (0) and the mouth (1): median over LFW. */
const NOSE_FRONTAL = 0.56;

export function measure(
  face: Face,
  statistics: CropStatistics,
  frameWidthPx: number,
  frameHeightPx: number,
): QualityMeasures {
  const { box, landmarks } = face;
  const [rightEye, leftEye] = landmarks;
  const frame: Box = { x: 0, y: 0, width: frameWidthPx, height: frameHeightPx };
  const size = area(box);
  return {
    eyeDistancePx: distance(rightEye, leftEye),
    sizePx: Math.min(box.width, box.height),
    sharpness: statistics.sharpness,
    brightness: statistics.brightness,
    ...pose(face),
    rollDegrees: (Math.atan2(leftEye.y - rightEye.y, leftEye.x - rightEye.x) * 180) / Math.PI,
    insideShare: size > 0 ? area(intersection(box, frame)) / size : 0,
  };
}

/**
 * Yaw from where the nose lies between the eyes (positive: turned to the person's left), pitch from where
 * it lies between eyes and mouth (positive: looking down). Both in [−1, 1].
 */
function pose(face: Face): { readonly yaw: number; readonly pitch: number } {
  const [rightEye, leftEye, nose, rightMouth, leftMouth] = face.landmarks;
  const eyes = midpoint(rightEye, leftEye);
  const mouth = midpoint(rightMouth, leftMouth);
  const across = { x: leftEye.x - rightEye.x, y: leftEye.y - rightEye.y };
  const down = { x: mouth.x - eyes.x, y: mouth.y - eyes.y };
  const fromEyes = { x: nose.x - eyes.x, y: nose.y - eyes.y };
  // Solve fromEyes = u·across + v·down, so that roll changes nothing.
  const determinant = across.x * down.y - across.y * down.x;
  if (!(Math.abs(determinant) > 1e-6)) return { yaw: 1, pitch: 1 };
  const u = (fromEyes.x * down.y - fromEyes.y * down.x) / determinant;
  const v = (across.x * fromEyes.y - across.y * fromEyes.x) / determinant;
  return { yaw: limited(u * 2), pitch: limited((v - NOSE_FRONTAL) * 2) };
}

/** @returns empty when the face is usable */
export function reasonsAgainst(
  measures: QualityMeasures,
  limits: QualityLimits,
  plausible: boolean,
): readonly QualityReason[] {
  const reasons: QualityReason[] = [];
  if (!plausible) reasons.push("landmarks");
  const turned =
    Math.abs(measures.yaw) > limits.yawMax || Math.abs(measures.pitch) > limits.pitchMax;
  // A turned head folds its eyes together: then "turned" says what to do, "too small" would not.
  if (
    measures.eyeDistancePx < limits.eyeDistanceMinPx &&
    !(turned && measures.sizePx >= 2 * limits.eyeDistanceMinPx)
  ) {
    reasons.push("too_small");
  }
  if (!(measures.sharpness >= limits.sharpnessMin)) reasons.push("blurred");
  if (!(measures.brightness >= limits.brightnessMin)) reasons.push("dark");
  if (measures.brightness > limits.brightnessMax) reasons.push("bright");
  if (turned) reasons.push("turned");
  if (!(measures.insideShare >= limits.insideShareMin)) reasons.push("clipped");
  return reasons;
}

/** One number in [0, 1] to order shots of a track by: large, sharp and frontal is better. */
export function shotScore(measures: QualityMeasures): number {
  const frontal = (1 - Math.abs(measures.yaw)) * (1 - Math.abs(measures.pitch) / 2);
  const size = Math.min(1, measures.eyeDistancePx / 60);
  const sharp = Math.min(1, measures.sharpness / 300);
  return frontal * (0.5 * size + 0.5 * sharp) * measures.insideShare;
}

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
const midpoint = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
const limited = (value: number): number => Math.max(-1, Math.min(1, value));
