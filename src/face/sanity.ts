/** Landmark geometry: a detection whose points cannot be a face is not one. */
import type { Box, Point } from "../frame/frame.ts";
import type { Face } from "./face.ts";

/** Landmarks may lie this share of the box's side outside it. */
const OUTSIDE_MAX = 0.25;
/** Distance from eye line to mouth, as a share of the box's height: profiles keep it, garbage does not. */
const EYES_TO_MOUTH_MIN = 0.15;
const EYES_TO_MOUTH_MAX = 0.95;
/** Where the nose lies between eyes (0) and mouth (1). */
const NOSE_MIN = -0.3;
const NOSE_MAX = 1.2;
const SIDE_MIN_PX = 4;

/**
 * False for boxes without size, points far outside the box, mirrored or collapsed points. Turned and
 * tilted faces pass: whether they are good enough is a question of quality.
 */
export function isPlausible(face: Face): boolean {
  const { box, landmarks } = face;
  const numbers = [box.x, box.y, box.width, box.height, ...landmarks.flatMap((p) => [p.x, p.y])];
  if (!numbers.every(Number.isFinite) || box.width < SIDE_MIN_PX || box.height < SIDE_MIN_PX)
    return false;
  const [rightEye, leftEye, nose, rightMouth, leftMouth] = landmarks;
  const eyes = midpoint(rightEye, leftEye);
  const mouth = midpoint(rightMouth, leftMouth);
  const down = { x: mouth.x - eyes.x, y: mouth.y - eyes.y };
  const length = Math.hypot(down.x, down.y);
  if (
    length < EYES_TO_MOUTH_MIN * box.height ||
    length > EYES_TO_MOUTH_MAX * Math.max(box.width, box.height)
  )
    return false;
  // Seen from the front, turning from the eye line (right to left eye) to the mouth is clockwise on
  // the screen. A profile folds the eyes onto each other, so a small negative value passes.
  const eyeLine = { x: leftEye.x - rightEye.x, y: leftEye.y - rightEye.y };
  const turn = (eyeLine.x * down.y - eyeLine.y * down.x) / (length * box.width);
  if (turn < -0.05) return false;
  const along = ((nose.x - eyes.x) * down.x + (nose.y - eyes.y) * down.y) / (length * length);
  if (along < NOSE_MIN || along > NOSE_MAX) return false;
  return landmarks.every((point) => nearBox(point, box));
}

function nearBox(point: Point, box: Box): boolean {
  const [mx, my] = [box.width * OUTSIDE_MAX, box.height * OUTSIDE_MAX];
  return (
    point.x >= box.x - mx &&
    point.x <= box.x + box.width + mx &&
    point.y >= box.y - my &&
    point.y <= box.y + box.height + my
  );
}

const midpoint = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
