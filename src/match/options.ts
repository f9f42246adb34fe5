/** What a site may say about matching. */
import { z } from "zod";

export const MatchOptions = z.strictObject({
  fpirTarget: z.number().gt(0).max(0.5).default(0.001).meta({
    description:
      "share of searches by people who are not enrolled that may return somebody, over the whole gallery",
  }),
  marginMin: z.number().min(0).max(2).default(0.05).meta({
    description: "least distance in cosine between the best identity and the best other one",
  }),
  cosineMin: z.number().min(-1).max(1).optional().meta({
    description:
      "floor of the threshold; alone it is the threshold where the pack has no calibration",
  }),
  extrapolateDecades: z.number().min(0).max(3).default(1).meta({
    description:
      "how far below the smallest measured false match rate the calibration line is followed, in powers of ten",
  }),
  candidates: z.int().min(2).max(128).default(24).meta({
    description: "templates asked of the gallery per search; more than one identity may hold",
  }),
});
export type MatchOptions = z.infer<typeof MatchOptions>;
