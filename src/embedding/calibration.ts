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

/**
 * Score → FMR table. Points rise in cosine and fall in FMR; the last one is the smallest FMR that the
 * number of compared pairs supports (rule of 30: about 30 / pairs).
 */
export const Calibration = z.strictObject({
  set: z.string().min(1).meta({ description: "evaluation set in words" }),
  pairs: z.int().positive().meta({ description: "different-person pairs compared" }),
  points: z.array(CalibrationPoint).min(2).max(64),
});
export type Calibration = z.infer<typeof Calibration>;
