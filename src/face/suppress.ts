/** Greedy non-maximum suppression, as OpenCV's FaceDetectorYN does it. */
import type { Box } from "../frame/frame.ts";
import { overlap } from "../frame/geometry.ts";
import type { Face } from "./face.ts";

/** Bound on candidates, as in FaceDetectorYN: more is noise, and the work is quadratic. */
export const CANDIDATES_MAX = 5000;

/**
 * Best faces first; a face goes when it overlaps a kept one by more than `overlapMax` (IoU). OpenCV
 * compares boxes cut to whole pixels, so this does too.
 *
 * @param max bound on the result
 */
export function suppress(faces: readonly Face[], overlapMax: number, max: number): readonly Face[] {
  const best = bestOf(faces);
  const kept: { readonly face: Face; readonly box: Box }[] = [];
  for (const face of best) {
    if (kept.length >= max) break;
    const box = whole(face.box);
    if (kept.every((other) => overlapOrFull(box, other.box) <= overlapMax))
      kept.push({ face, box });
  }
  return kept.map(({ face }) => face);
}

/** Best first, at most `CANDIDATES_MAX`; faces of equal score keep their order. */
export function bestOf(faces: readonly Face[]): readonly Face[] {
  return faces.toSorted((a, b) => b.score - a.score).slice(0, CANDIDATES_MAX);
}

function whole(box: Box): Box {
  return {
    x: Math.trunc(box.x),
    y: Math.trunc(box.y),
    width: Math.trunc(box.width),
    height: Math.trunc(box.height),
  };
}

/** Two empty boxes count as the same one. */
function overlapOrFull(a: Box, b: Box): number {
  return a.width * a.height + b.width * b.height <= 0 ? 1 : overlap(a, b);
}
