/** Golden vectors: a pack runs only where it gives the embeddings it was released with. */
import { cosineOf } from "../lib/vector.ts";

export type GoldenVerdict =
  | { readonly kind: "same"; readonly cosineLeast: number }
  | { readonly kind: "different"; readonly index: number; readonly cosine: number };

/**
 * @param expected unit embeddings from the pack
 * @param actual what this machine computed from the same crops; unit vectors, same order
 * @param cosineMin least accepted cosine for the provider in use
 */
export function goldenVerdict(
  expected: readonly (readonly number[])[],
  actual: readonly Float32Array[],
  cosineMin: number,
): GoldenVerdict {
  let cosineLeast = 1;
  for (const [index, vector] of expected.entries()) {
    const other = actual[index];
    const cosine =
      other?.length === vector.length ? cosineOf(Float32Array.from(vector), other) : Number.NaN;
    if (!(cosine >= cosineMin)) return { kind: "different", index, cosine };
    cosineLeast = Math.min(cosineLeast, cosine);
  }
  return { kind: "same", cosineLeast };
}
