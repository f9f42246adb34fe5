/**
 * A second look at one face before it is aligned: its surroundings alone, mirrored, at one size. The errors of
 * the two looks have little in common, so that their mean is nearer to the truth than either; and what only
 * one of them takes for a face is mostly none, or seen too badly to be aligned.
 */
import type { Box, Point } from "../frame/frame.ts";
import { centre, overlap } from "../frame/geometry.ts";
import type { Face, Landmarks } from "./face.ts";
import { isPlausible } from "./sanity.ts";

/** Of the view, a square. */
export const VIEW_PX = 160;
/** Longer side of the face's box in the view. */
const FACE_PX = 90;
/** Side of what the view shows, in longer sides of the box. */
const REACH = 1.6;
const UPSCALE_MAX = 2;
/** IoU from which what the view shows is the same face. */
const SAME_FACE_MIN = 0.5;

/** A part of the picture, scaled and mirrored left to right, in the top left corner of a black square. */
export interface View {
  /** Whole pixels of the picture. */
  readonly part: Box;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** The part of a picture to look at again; it may reach beyond the picture. */
export function surroundings({ box }: Face): Box {
  const side = REACH * Math.max(box.width, box.height);
  const { x, y } = centre(box);
  return { x: x - side / 2, y: y - side / 2, width: side, height: side };
}

/** @param part {@link surroundings} of the face, as far as the picture has them */
export function viewOf({ box }: Face, part: Box): View {
  const scale = Math.min(
    FACE_PX / Math.max(box.width, box.height),
    UPSCALE_MAX,
    VIEW_PX / Math.max(part.width, part.height),
  );
  const scaled = (side: number): number => Math.max(1, Math.round(side * scale));
  return { part, widthPx: scaled(part.width), heightPx: scaled(part.height) };
}

/** A face of the view in the picture's pixels, where left is left again. */
export function fromView({ part, widthPx, heightPx }: View, { box, landmarks, score }: Face): Face {
  const [stepX, stepY] = [part.width / widthPx, part.height / heightPx];
  const to = ({ x, y }: Point): Point => ({
    x: (widthPx - 1 - x + 0.5) * stepX - 0.5 + part.x,
    y: (y + 0.5) * stepY - 0.5 + part.y,
  });
  const [right, left, nose, mouthRight, mouthLeft] = landmarks;
  return {
    box: {
      ...to({ x: box.x + box.width, y: box.y }),
      width: box.width * stepX,
      height: box.height * stepY,
    },
    // A mirrored right eye looks like a left one.
    landmarks: [to(left), to(right), to(nose), to(mouthLeft), to(mouthRight)],
    score,
  };
}

/**
 * @param seen faces of the second look, in the picture's pixels
 * @returns `face` with the mean landmarks of both looks; undefined when the second does not find it
 */
export function lookedAtTwice(face: Face, seen: readonly Face[]): Face | undefined {
  const again = seen
    .filter((other) => isPlausible(other) && overlap(face.box, other.box) >= SAME_FACE_MIN)
    .toSorted((a, b) => overlap(face.box, b.box) - overlap(face.box, a.box))[0];
  if (again === undefined) return undefined;
  const mean = (index: 0 | 1 | 2 | 3 | 4): Point => {
    const [a, b] = [face.landmarks[index], again.landmarks[index]];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const landmarks: Landmarks = [mean(0), mean(1), mean(2), mean(3), mean(4)];
  return { ...face, landmarks };
}
