/** Nearest identity and its scores; "unknown" is an answer. */
import type { Cosine, IdentityId } from "../lib/brand.ts";

export const UNKNOWN_REASONS = [
  "no_gallery",
  "below_threshold",
  "small_margin",
  "no_threshold",
] as const;
export type UnknownReason = (typeof UNKNOWN_REASONS)[number];

export type Match =
  | {
      readonly kind: "identity";
      readonly identityId: IdentityId;
      readonly cosine: Cosine;
      /** Distance to the best other identity; absent when there is none. */
      readonly margin?: Cosine;
      /** The threshold that was in force. */
      readonly threshold: Cosine;
    }
  | {
      readonly kind: "unknown";
      readonly reason: UnknownReason;
      /** Best cosine seen, for the score band and the log of misses. */
      readonly cosine?: Cosine;
    };
