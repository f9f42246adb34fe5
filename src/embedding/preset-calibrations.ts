/** Measured score tables of the presets. */
import type { Calibration } from "./calibration.ts";

export const RETAIL_0095_CALIBRATION: Calibration | undefined = undefined;
export const MOBILEFACENET_CALIBRATION: Calibration | undefined = undefined;
