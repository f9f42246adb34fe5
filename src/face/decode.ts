/**
 * YuNet's twelve outputs → faces in input pixels. Each stride has a grid of anchors-free cells; a cell
 * gives class and objectness (score = their geometric mean), a box as centre offset and log size, and
 * five landmark offsets, all in strides (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023).
 */
import type { Point } from "../frame/frame.ts";
import type { Face } from "./face.ts";

export const STRIDES = [8, 16, 32] as const;

/** One stride's outputs: `rows × cols` cells in row order. */
export interface StrideOutput {
  readonly stride: number;
  /** One class score per cell. */
  readonly cls: Float32Array;
  /** One objectness per cell. */
  readonly obj: Float32Array;
  /** Four per cell: centre x, centre y, log width, log height. */
  readonly bbox: Float32Array;
  /** Ten per cell: five (x, y). */
  readonly kps: Float32Array;
}

/**
 * @param inputWidthPx multiple of the largest stride
 * @returns every cell with a score of at least `scoreMin`, unsuppressed, strides and rows in order
 */
export function decodeFaces(
  outputs: readonly StrideOutput[],
  inputWidthPx: number,
  scoreMin: number,
): readonly Face[] {
  const faces: Face[] = [];
  const product = scoreMin * scoreMin;
  for (const output of outputs) {
    const { cls, obj, stride } = output;
    const cols = Math.floor(inputWidthPx / stride);
    for (let cell = 0; cell < cls.length; cell += 1) {
      const score2 = unit(cls[cell] as number) * unit(obj[cell] as number);
      // NaN fails the comparison, so a broken cell is no face.
      if (!(score2 >= product) || score2 === 0) continue;
      const face = faceOf(output, cell, cell % cols, Math.floor(cell / cols), Math.sqrt(score2));
      if (face !== undefined) faces.push(face);
    }
  }
  return faces;
}

const unit = (value: number): number => Math.min(1, Math.max(0, value));

function faceOf(
  output: StrideOutput,
  cell: number,
  col: number,
  row: number,
  score: number,
): Face | undefined {
  const { stride, bbox, kps } = output;
  const at = (array: Float32Array, index: number): number => array[index] as number;
  const width = Math.exp(at(bbox, cell * 4 + 2)) * stride;
  const height = Math.exp(at(bbox, cell * 4 + 3)) * stride;
  const x = (col + at(bbox, cell * 4)) * stride - width / 2;
  const y = (row + at(bbox, cell * 4 + 1)) * stride - height / 2;
  const point = (index: number): Point => ({
    x: (at(kps, cell * 10 + index * 2) + col) * stride,
    y: (at(kps, cell * 10 + index * 2 + 1) + row) * stride,
  });
  const landmarks = [point(0), point(1), point(2), point(3), point(4)] as const;
  const finite = [x, y, width, height, ...landmarks.flatMap((p) => [p.x, p.y])].every(
    Number.isFinite,
  );
  return finite ? { box: { x, y, width, height }, landmarks, score } : undefined;
}
