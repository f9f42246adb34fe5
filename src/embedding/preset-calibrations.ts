/**
 * Measured score tables of the presets, by `ostiary evaluate calibration` with YuNet 2023mar: one picture
 * of each person against every other person's, same-person pairs from up to five pictures of each.
 */
import type { Calibration } from "./calibration.ts";

const SET = "LFW, the 4,281 people of pairs.txt, 150×150 pictures with the full field of view";

export const RETAIL_0095_CALIBRATION: Calibration | undefined = {
  set: SET,
  pairs: 9_161_340,
  points: [
    { cosine: 0.0053, fmr: 0.4997, fnmr: 0 },
    { cosine: 0.0669, fmr: 0.2498, fnmr: 0.0003328 },
    { cosine: 0.1255, fmr: 0.09989, fnmr: 0.001331 },
    { cosine: 0.1631, fmr: 0.04995, fnmr: 0.001664 },
    { cosine: 0.1979, fmr: 0.02496, fnmr: 0.002995 },
    { cosine: 0.2415, fmr: 0.009989, fnmr: 0.004659 },
    { cosine: 0.2727, fmr: 0.004998, fnmr: 0.00599 },
    { cosine: 0.3033, fmr: 0.002498, fnmr: 0.007321 },
    { cosine: 0.3409, fmr: 0.0009999, fnmr: 0.01165 },
    { cosine: 0.3679, fmr: 0.0004989, fnmr: 0.01897 },
    { cosine: 0.3934, fmr: 0.0002496, fnmr: 0.02562 },
    { cosine: 0.4255, fmr: 9.977e-5, fnmr: 0.03993 },
    { cosine: 0.4473, fmr: 4.967e-5, fnmr: 0.05092 },
    { cosine: 0.4668, fmr: 2.5e-5, fnmr: 0.06256 },
    { cosine: 0.4918, fmr: 9.933e-6, fnmr: 0.08752 },
    { cosine: 0.5187, fmr: 4.912e-6, fnmr: 0.1211 },
    { cosine: 0.5341, fmr: 3.275e-6, fnmr: 0.1411 },
  ],
};
export const MOBILEFACENET_CALIBRATION: Calibration | undefined = undefined;
