/**
 * Landmarks of a face as the mean of what all its cells say, the best ones counting most: those of a
 * single cell jitter as the face moves over the grid. (Blending in place of mere suppression:
 * Bazarevsky et al., "BlazeFace", 2019, section 3.4.)
 */
import type { Point } from "../frame/frame.ts";
import { overlap } from "../frame/geometry.ts";
import type { Face, Landmarks } from "./face.ts";
import { bestOf } from "./suppress.ts";

/** IoU from which a cell speaks of a face. */
const SAME_FACE_MIN = 0.5;
/** Of the score, in a cell's weight: half the score is a 256th of the weight. */
const POWER = 8;

/**
 * @param kept faces that suppression kept
 * @param cells all faces before it; of more than `CANDIDATES_MAX` the best
 * @returns `kept` with other landmarks; boxes and scores stay
 */
export function blendLandmarks(kept: readonly Face[], cells: readonly Face[]): readonly Face[] {
  const sums = kept.map(() => ({ weight: 0, points: new Float64Array(10) }));
  for (const cell of bestOf(cells)) {
    const overlaps = kept.map(({ box }) => overlap(box, cell.box));
    const most = Math.max(...overlaps);
    if (!(most >= SAME_FACE_MIN)) continue;
    const sum = sums[overlaps.indexOf(most)] as (typeof sums)[number];
    const weight = cell.score ** POWER;
    sum.weight += weight;
    for (const [index, { x, y }] of cell.landmarks.entries()) {
      sum.points[2 * index] = (sum.points[2 * index] as number) + weight * x;
      sum.points[2 * index + 1] = (sum.points[2 * index + 1] as number) + weight * y;
    }
  }
  return kept.map((face, at) => {
    const { weight, points } = sums[at] as (typeof sums)[number];
    if (!(weight > 0)) return face;
    const point = (index: number): Point => ({
      x: (points[2 * index] as number) / weight,
      y: (points[2 * index + 1] as number) / weight,
    });
    const landmarks: Landmarks = [point(0), point(1), point(2), point(3), point(4)];
    return { ...face, landmarks };
  });
}
