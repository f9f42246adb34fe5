/** Boxes and affine maps. */
import type { Box, Point } from "./frame.ts";

/** Rows of a 2×3 matrix: (x, y) → (a·x + b·y + c, d·x + e·y + f). */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

export function apply(map: Affine, point: Point): Point {
  const [a, b, c, d, e, f] = map;
  return { x: a * point.x + b * point.y + c, y: d * point.x + e * point.y + f };
}

/** @returns undefined when the map flattens the plane */
export function inverse(map: Affine): Affine | undefined {
  const [a, b, c, d, e, f] = map;
  const determinant = a * e - b * d;
  if (!Number.isFinite(determinant) || determinant === 0) return undefined;
  const [ia, ib, id, ie] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  return [ia, ib, -(ia * c + ib * f), id, ie, -(id * c + ie * f)];
}

/** `after` applied to the result of `before`. */
export function compose(after: Affine, before: Affine): Affine {
  const [a, b, c, d, e, f] = after;
  const [p, q, r, s, t, u] = before;
  return [
    a * p + b * s,
    a * q + b * t,
    a * r + b * u + c,
    d * p + e * s,
    d * q + e * t,
    d * r + e * u + f,
  ];
}

export function area(box: Box): number {
  return Math.max(0, box.width) * Math.max(0, box.height);
}

export function intersection(a: Box, b: Box): Box {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  return {
    x,
    y,
    width: Math.max(0, Math.min(a.x + a.width, b.x + b.width) - x),
    height: Math.max(0, Math.min(a.y + a.height, b.y + b.height) - y),
  };
}

/** Intersection over union in [0, 1]; 0 for empty boxes. */
export function overlap(a: Box, b: Box): number {
  const shared = area(intersection(a, b));
  const union = area(a) + area(b) - shared;
  return union > 0 ? shared / union : 0;
}

export function centre(box: Box): Point {
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}
