/** Ports of similarity search: what the match stage needs, and what an index must do. */
import type { Cosine, IdentityId, SpaceId, TemplateId } from "../lib/brand.ts";

/** A stored embedding that resembles the query. `cosine` is exact. */
export interface Candidate {
  readonly identityId: IdentityId;
  readonly templateId: TemplateId;
  readonly cosine: Cosine;
}

/** What matching asks. Erased identities never appear, even while an index still holds them. */
export interface Gallery {
  readonly spaceId: SpaceId;
  readonly dimension: number;
  readonly identityCount: number;
  readonly templateCount: number;
  /** Best first; exact cosines; at most `k`, over all identities. */
  readonly search: (vector: Float32Array, k: number) => Promise<readonly Candidate[]>;
}

export interface Neighbour {
  /** A slot of the vector table, < 2³². */
  readonly slot: number;
  readonly cosine: Cosine;
}

/**
 * One index over one space. Asynchronous, since implementations live in worker threads. Approximate
 * implementations may miss neighbours and round cosines: the caller scores again, exactly.
 */
export interface EmbeddingIndex extends AsyncDisposable {
  readonly kind: "exact" | "hnsw";
  readonly dimension: number;
  readonly add: (
    entries: readonly { readonly slot: number; readonly vector: Float32Array }[],
  ) => Promise<void>;
  readonly remove: (slots: readonly number[]) => Promise<void>;
  readonly search: (vector: Float32Array, k: number) => Promise<readonly Neighbour[]>;
  readonly count: () => Promise<number>;
}
