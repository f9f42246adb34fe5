/** What a camera sees of one track right now: for the live table and the local page, never for a door. */
import type { CameraId, Cosine, IdentityId, TrackId } from "../lib/brand.ts";
import type { Threshold } from "../match/threshold.ts";
import type { ScoreBand } from "./decision.ts";
import type { Evidence, Miss } from "./evidence.ts";
import { bandOf } from "./weight.ts";

export interface TrackView {
  readonly cameraId: CameraId;
  readonly trackId: TrackId;
  readonly status: "unusable" | "collecting" | "identified" | Miss | "ended";
  readonly identityId?: IdentityId;
  readonly scoreBand: ScoreBand;
  /** Why this frame is unusable; empty when it is usable. */
  readonly quality: readonly string[];
  /** Compared frames that count now. */
  readonly frames: number;
}

/** @param quality reasons of the present frame @param best its best cosine, when it was compared */
export function viewOf(
  cameraId: CameraId,
  trackId: TrackId,
  evidence: Evidence,
  threshold: Threshold,
  quality: readonly string[] = [],
  best?: Cosine,
): TrackView {
  return {
    cameraId,
    trackId,
    status: statusOf(evidence, quality),
    ...(evidence.identified !== undefined && { identityId: evidence.identified }),
    scoreBand: bandOf(best, threshold.kind === "threshold" ? threshold.cosine : undefined),
    quality,
    frames: evidence.votes.length,
  };
}

function statusOf(evidence: Evidence, quality: readonly string[]): TrackView["status"] {
  if (evidence.ended) return "ended";
  if (evidence.identified !== undefined) return "identified";
  const miss = evidence.saidMisses.at(-1);
  if (miss !== undefined) return miss;
  return quality.length > 0 ? "unusable" : "collecting";
}
