/** Five-point alignment: the similarity that carries landmarks best onto a template. */
import type { Point } from "../frame/frame.ts";
import type { Affine } from "../frame/geometry.ts";
import type { Landmarks } from "./face.ts";

export const CROP_SIZE_PX = 112;

/** ArcFace's template for 112×112 crops (Deng et al. 2019, as published by InsightFace), in YuNet's order. */
export const ARCFACE_112: Landmarks = [
  { x: 38.2946, y: 51.6963 },
  { x: 73.5318, y: 51.5014 },
  { x: 56.0252, y: 71.7366 },
  { x: 41.5493, y: 92.3655 },
  { x: 70.7299, y: 92.2041 },
];

/**
 * Least-squares similarity (rotation, one scale, translation, no mirroring) from `from` to `to`: Umeyama
 * 1991, whose singular value decomposition has a closed form in the plane.
 *
 * @returns undefined when the points coincide or are not finite
 */
export function similarity(from: readonly Point[], to: readonly Point[]): Affine | undefined {
  const source = mean(from);
  const target = mean(to);
  let dot = 0;
  let cross = 0;
  let spread = 0;
  from.forEach((point, index) => {
    const goal = to[index] as Point;
    const [px, py, gx, gy] = [
      point.x - source.x,
      point.y - source.y,
      goal.x - target.x,
      goal.y - target.y,
    ];
    dot += px * gx + py * gy;
    cross += px * gy - py * gx;
    spread += px * px + py * py;
  });
  if (
    !(spread > 1e-9) ||
    !Number.isFinite(dot) ||
    !Number.isFinite(cross) ||
    !Number.isFinite(spread)
  )
    return undefined;
  const a = dot / spread;
  const b = cross / spread;
  if (a * a + b * b < 1e-18) return undefined;
  return [
    a,
    -b,
    target.x - a * source.x + b * source.y,
    b,
    a,
    target.y - b * source.x - a * source.y,
  ];
}

function mean(points: readonly Point[]): Point {
  let x = 0;
  let y = 0;
  for (const point of points) {
    x += point.x;
    y += point.y;
  }
  return { x: x / points.length, y: y / points.length };
}
