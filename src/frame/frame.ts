/** One picture from a camera, and the geometry that its parts share. */
import type { CameraId, EpochMs, MonotonicMs } from "../lib/brand.ts";

/** `nv12`: Y plane, then interleaved UV at half size, BT.601 limited range. `bgr24`: HWC, uint8. */
export type PixelLayout = "nv12" | "bgr24";

export interface CapturedAt {
  readonly monotonicMs: MonotonicMs;
  readonly epochMs: EpochMs;
}

export interface Frame {
  readonly cameraId: CameraId;
  /** Counts every frame that the decoder delivered, dropped ones included. */
  readonly sequence: number;
  readonly capturedAt: CapturedAt;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly layout: PixelLayout;
  /** Owned by whoever holds the frame; `frameBytes` long. */
  readonly pixels: Uint8Array;
}

/** Frame coordinates: origin at the top left corner of the top left pixel's centre, x right, y down, in pixels. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Bytes of one frame. @param layout see {@link PixelLayout}; NV12 needs even sides */
export function frameBytes(layout: PixelLayout, widthPx: number, heightPx: number): number {
  return layout === "nv12" ? (widthPx * heightPx * 3) / 2 : widthPx * heightPx * 3;
}
