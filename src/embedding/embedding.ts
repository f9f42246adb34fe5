/** A unit vector that stands for a face, in one space. */
import type { SpaceId } from "../lib/brand.ts";

export interface Embedding {
  readonly spaceId: SpaceId;
  /** L2-normalised, float32, length = the pack's dimension. */
  readonly vector: Float32Array;
}
