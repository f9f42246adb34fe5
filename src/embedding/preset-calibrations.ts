/**
 * Measured score tables of the presets. Made by
 *
 *   tar xf ../shared/data/lfw/lfw_pairs.tar -C DIR
 *   scripts/ostiary evaluate calibration --pack PACK_DIRECTORY --root DIR/images --set "LFW, …"
 *
 * (the different-person rates of it).
 * LFW is the test set of these models too, so a table says nothing of how a model was chosen; the pictures
 * are press photographs of adults, and a site with a narrower population must expect more false matches.
 */
import type { Calibration } from "./calibration.ts";

export const RETAIL_0095_CALIBRATION: Calibration = {
  set: "LFW, one picture of each of 4281 people (150×150, 0 without a face), all cross pairs; impostor pairs only",
  pairs: 9161340,
  points: [
    { cosine: 0.0053, fmr: 0.4997 },
    { cosine: 0.0669, fmr: 0.2498 },
    { cosine: 0.1255, fmr: 0.09989 },
    { cosine: 0.1631, fmr: 0.04995 },
    { cosine: 0.1979, fmr: 0.02496 },
    { cosine: 0.2415, fmr: 0.009989 },
    { cosine: 0.2727, fmr: 0.004998 },
    { cosine: 0.3033, fmr: 0.002498 },
    { cosine: 0.3409, fmr: 0.0009999 },
    { cosine: 0.3679, fmr: 0.0004989 },
    { cosine: 0.3934, fmr: 0.0002496 },
    { cosine: 0.4255, fmr: 9.977e-5 },
    { cosine: 0.4473, fmr: 4.967e-5 },
    { cosine: 0.4668, fmr: 2.5e-5 },
    { cosine: 0.4918, fmr: 9.933e-6 },
    { cosine: 0.5187, fmr: 4.912e-6 },
    { cosine: 0.5341, fmr: 3.275e-6 },
  ],
};

export const MOBILEFACENET_CALIBRATION: Calibration = {
  set: "LFW, one picture of each of 4281 people (150×150, 0 without a face), all cross pairs; impostor pairs only",
  pairs: 9161340,
  points: [
    { cosine: 0.0097, fmr: 0.4998 },
    { cosine: 0.0783, fmr: 0.2499 },
    { cosine: 0.1409, fmr: 0.09991 },
    { cosine: 0.1787, fmr: 0.04994 },
    { cosine: 0.2119, fmr: 0.02498 },
    { cosine: 0.2507, fmr: 0.009996 },
    { cosine: 0.2775, fmr: 0.004994 },
    { cosine: 0.3026, fmr: 0.002495 },
    { cosine: 0.3332, fmr: 0.000999 },
    { cosine: 0.355, fmr: 0.0004996 },
    { cosine: 0.3755, fmr: 0.0002496 },
    { cosine: 0.4012, fmr: 9.999e-5 },
    { cosine: 0.4215, fmr: 4.999e-5 },
    { cosine: 0.4397, fmr: 2.5e-5 },
    { cosine: 0.4661, fmr: 9.933e-6 },
    { cosine: 0.483, fmr: 4.912e-6 },
    { cosine: 0.4954, fmr: 3.275e-6 },
  ],
};
