/** Grant or deny, with a reason, for one door. */
import type { CameraId, DoorId, EpochMs, IdentityId, MonotonicMs, TrackId } from "../lib/brand.ts";

export const GRANT_REASONS = ["allowed"] as const;
export const DENY_REASONS = [
  /** Evidence complete, nobody enrolled looks like this. */
  "unknown",
  /** Frames point at different people. */
  "disagreement",
  /** The track ended before enough usable frames were seen. */
  "too_few_frames",
  /** No usable frame at all: the quality reasons say why. */
  "unusable",
  "identity_disabled",
  "not_yet_valid",
  "expired",
  "no_rule",
  "outside_schedule",
  "lockdown",
  /** No threshold can be derived for this gallery: nobody is granted. */
  "not_calibrated",
  /** The pack is for demonstrations, and the site has not said that it may open doors. */
  "demo_only",
  "clock_not_trusted",
  "too_many_attempts",
  /** The provider, pack or another condition of the site's policy is not met. */
  "degraded",
] as const;
export type GrantReason = (typeof GRANT_REASONS)[number];
export type DenyReason = (typeof DENY_REASONS)[number];

export type ScoreBand = "none" | "low" | "near" | "high";

interface DecisionBase {
  readonly id: string;
  readonly doorId: DoorId;
  readonly cameraId: CameraId;
  readonly trackId: TrackId;
  readonly issuedAt: EpochMs;
  /** Exclusive. Nobody acts on it from here on. */
  readonly expiresAt: EpochMs;
  /** When the first usable frame of the track was captured: the start of the latency budget. */
  readonly firstUsableAt?: MonotonicMs;
  readonly scoreBand: ScoreBand;
  /** Usable frames that the evidence rests on. */
  readonly frames: number;
}

export type Decision =
  | (DecisionBase & {
      readonly outcome: "grant";
      readonly reason: GrantReason;
      readonly identityId: IdentityId;
    })
  | (DecisionBase & {
      readonly outcome: "deny";
      readonly reason: DenyReason;
      readonly identityId?: IdentityId;
      /** Quality reason codes of the unusable frames, most frequent first. */
      readonly quality?: readonly string[];
    });
