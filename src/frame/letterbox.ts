/** Scale to fit, pad right and below to a multiple of 32: how a picture becomes a detector's input, and the way back. */
import { assert } from "../lib/assert.ts";
import type { Box, Point } from "./frame.ts";

/** Detectors with strides up to 32 take only such sides. */
export const INPUT_MULTIPLE = 32;

export interface Letterbox {
  /** Size of the scaled picture in the input's top left corner. */
  readonly scaledWidthPx: number;
  readonly scaledHeightPx: number;
  /** Size of the padded input. */
  readonly inputWidthPx: number;
  readonly inputHeightPx: number;
  /** Frame pixels per scaled pixel, each axis by itself since sizes are whole numbers. */
  readonly stepX: number;
  readonly stepY: number;
}

/** Small pictures gain nothing from more magnification than this. */
export const UPSCALE_MAX = 2;

/**
 * @param longerSidePx longer side of the scaled picture
 * @param upscaleMax bound on magnification
 */
export function letterbox(
  widthPx: number,
  heightPx: number,
  longerSidePx: number,
  upscaleMax = UPSCALE_MAX,
): Letterbox {
  assert(
    widthPx >= 1 && heightPx >= 1 && longerSidePx >= 1,
    `cannot letterbox ${widthPx}×${heightPx} to ${longerSidePx}`,
  );
  const scale = Math.min(upscaleMax, longerSidePx / Math.max(widthPx, heightPx));
  const scaledWidthPx = Math.max(1, Math.round(widthPx * scale));
  const scaledHeightPx = Math.max(1, Math.round(heightPx * scale));
  return {
    scaledWidthPx,
    scaledHeightPx,
    inputWidthPx: Math.ceil(scaledWidthPx / INPUT_MULTIPLE) * INPUT_MULTIPLE,
    inputHeightPx: Math.ceil(scaledHeightPx / INPUT_MULTIPLE) * INPUT_MULTIPLE,
    stepX: widthPx / scaledWidthPx,
    stepY: heightPx / scaledHeightPx,
  };
}

/** Input pixels → frame pixels. Whole numbers are pixel centres on both sides, as in OpenCV's resize. */
export function toFramePoint(box: Letterbox, point: Point): Point {
  return { x: (point.x + 0.5) * box.stepX - 0.5, y: (point.y + 0.5) * box.stepY - 0.5 };
}

export function toInputPoint(box: Letterbox, point: Point): Point {
  return { x: (point.x + 0.5) / box.stepX - 0.5, y: (point.y + 0.5) / box.stepY - 0.5 };
}

export function toFrameBox(letter: Letterbox, box: Box): Box {
  const corner = toFramePoint(letter, box);
  return {
    x: corner.x,
    y: corner.y,
    width: box.width * letter.stepX,
    height: box.height * letter.stepY,
  };
}
