/** Embeddings per second in total, shared fairly between the cameras that want any. */
import type { CameraId } from "../lib/brand.ts";

/** A camera that asked within this time has a share. */
const ACTIVE_MS = 1000;
/** Unused share is kept this long, so that a group walking in is not cut up. */
const BURST_MS = 1000;

interface Share {
  tokens: number;
  refilledAtMs: number;
  askedAtMs: number;
}

/** A token bucket per camera, filled with the total rate divided by the number of active cameras. */
export class EmbeddingBudget {
  readonly #perSecond: number;
  readonly #shares = new Map<CameraId, Share>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** @returns whether the camera may embed one face now; counts it when it may */
  take(cameraId: CameraId, atMs: number): boolean {
    const known = this.#shares.get(cameraId);
    const share = known ?? { tokens: 1, refilledAtMs: atMs, askedAtMs: atMs };
    if (known === undefined) this.#shares.set(cameraId, share);
    share.askedAtMs = atMs;
    for (const [id, other] of this.#shares)
      if (atMs - other.askedAtMs > ACTIVE_MS) this.#shares.delete(id);
    const perMs = this.#perSecond / this.#shares.size / 1000;
    const most = Math.max(1, perMs * BURST_MS);
    share.tokens = Math.min(most, share.tokens + Math.max(0, atMs - share.refilledAtMs) * perMs);
    share.refilledAtMs = atMs;
    if (share.tokens < 1) return false;
    share.tokens -= 1;
    return true;
  }
}
