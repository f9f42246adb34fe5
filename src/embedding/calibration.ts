/** What a pack knows about its scores: false match rate by cosine, measured, with what it was measured on. */
import { z } from "zod";

export const CalibrationPoint = z.strictObject({
  cosine: z.number().min(-1).max(1).meta({ description: "threshold on the exact cosine" }),
  fmr: z
    .number()
    .gt(0)
    .max(1)
    .meta({ description: "share of different-person pairs at or above it" }),
  fnmr: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .meta({ description: "share of same-person pairs below it" }),
});

/** How one group of people fares at a threshold of the table: one threshold does not serve all alike. */
export const CalibrationGroup = z.strictObject({
  group: z.string().min(1).max(100),
  pairs: z.int().positive().meta({ description: "different-person pairs within the group" }),
  fmr: z.number().min(0).max(1).meta({ description: "share of them at or above `cosine`" }),
  cosine: z
    .number()
    .min(-1)
    .max(1)
    .optional()
    .meta({ description: "threshold of the rate; that of the table's last point when absent" }),
  supported: z.boolean().meta({ description: "at least 30 such pairs make up the rate" }),
});

/**
 * Score → FMR table. Points rise in cosine and fall in FMR; the last one is the smallest FMR that the
 * number of compared pairs supports (rule of 30: about 30 / pairs).
 */
export const Calibration = z.strictObject({
  set: z.string().min(1).meta({ description: "evaluation set in words" }),
  pairs: z.int().positive().meta({ description: "different-person pairs compared" }),
  points: z.array(CalibrationPoint).min(2).max(64),
  smallestFmr: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .meta({ description: "what the pairs support: 30 / pairs; lower rates are extrapolated" }),
  nearDuplicates: z
    .int()
    .nonnegative()
    .optional()
    .meta({ description: "pairs of the same photograph that were left out" }),
  groups: z
    .array(CalibrationGroup)
    .max(64)
    .optional()
    .meta({ description: "rates by group where the set has labels, the worst first" }),
});
export type Calibration = z.infer<typeof Calibration>;
