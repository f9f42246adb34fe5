/** Arithmetic of unit vectors, float32. */
import type { Cosine } from "./brand.ts";

/** Largest accepted deviation of a stored or received vector's length from 1. */
export const UNIT_TOLERANCE = 1e-3;

/** Scales to length 1. @returns undefined when the vector is zero or holds NaN or infinity */
export function normalised(raw: Float32Array): Float32Array<ArrayBuffer> | undefined {
  let sum = 0;
  for (const value of raw) sum += value * value;
  const length = Math.sqrt(sum);
  if (!(length > 0) || !Number.isFinite(length)) return undefined;
  return raw.map((value) => value / length);
}

/** True for a finite vector of the right size and length 1 ± {@link UNIT_TOLERANCE}. NaN fails every comparison. */
export function isUnit(vector: Float32Array, dimension: number): boolean {
  if (vector.length !== dimension) return false;
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.abs(Math.sqrt(sum) - 1) <= UNIT_TOLERANCE;
}

/** Dot product of two unit vectors of equal length. */
export function cosineOf(a: Float32Array, b: Float32Array): Cosine {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] as number) * (b[i] as number);
  return sum as Cosine;
}
