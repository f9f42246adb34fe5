/** Which shots of a track are worth the embedder. */
import type { TrackMemory } from "./step.ts";

export interface ShotRules {
  /** Every usable shot is embedded until this many were. */
  readonly quorumFrames: number;
  /** After that, again at least this often. */
  readonly refreshMs: number;
}

/** Why a shot should be embedded, most pressing first. */
export const SHOT_REASONS = ["quorum", "doubtful", "better", "refresh"] as const;
export type ShotReason = (typeof SHOT_REASONS)[number];

/** A shot must beat the best one by this much, or noise alone would keep the embedder busy. */
const BETTER_BY = 0.05;

/** @param score of a usable shot, see `shotScore`; @returns undefined when it is not worth it */
export function shotReason(
  track: TrackMemory,
  score: number,
  atMs: number,
  rules: ShotRules,
): ShotReason | undefined {
  if (track.embedded < rules.quorumFrames) return "quorum";
  if (track.doubtful) return "doubtful";
  if (score >= track.bestScore + BETTER_BY) return "better";
  const sinceMs =
    track.embeddedAtMs === undefined ? Number.POSITIVE_INFINITY : atMs - track.embeddedAtMs;
  return sinceMs >= rules.refreshMs ? "refresh" : undefined;
}
