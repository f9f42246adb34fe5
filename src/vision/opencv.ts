/**
 * OpenCV as this process uses it: the bare addon of opencv4nodejs. Its JavaScript wrapper prints to
 * stdout and looks for OpenCV builds at import. The addon keeps state per process, so exactly one
 * thread of a process may load it, once.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Fault } from "../lib/fault.ts";

/**
 * An image or matrix in native memory. The collector frees it, but does not see its size: whatever is large
 * and made per frame is released by hand.
 */
export interface Mat {
  readonly rows: number;
  readonly cols: number;
  readonly type: number;
  readonly empty: boolean;
  readonly channels: number;
  /** A copy of the bytes, row by row, without padding. */
  getData(): Buffer;
  /** The region shares memory with its Mat. */
  getRegion(rect: object): Mat;
  /** One Mat per channel. */
  splitChannels(): readonly Mat[];
  resize(rows: number, cols: number, fx: number, fy: number, interpolation: number): Mat;
  cvtColor(code: number): Mat;
  flip(code: number): Mat;
  warpAffine(matrix: Mat, size: object, interpolation: number, borderMode: number): Mat;
  laplacian(depth: number): Mat;
  /** Gives the memory back; the Mat is empty afterwards. */
  release(): void;
}

export interface OpenCv {
  readonly Mat: {
    /** Copies `data`. */
    new (data: Buffer, rows: number, cols: number, type: number): Mat;
    new (rows: readonly (readonly number[])[], type: number): Mat;
  };
  readonly Rect: new (x: number, y: number, width: number, height: number) => object;
  readonly Size: new (width: number, height: number) => object;
  readonly version: { readonly major: number; readonly minor: number; readonly revision: number };
  imdecode(data: Buffer, flags: number): Mat;
  imencode(extension: string, image: Mat, parameters?: readonly number[]): Buffer;
  meanStdDev(image: Mat): { readonly mean: Mat; readonly stddev: Mat };
  setNumThreads(threads: number): void;
}

// OpenCV's own constants (core/interface.h, imgproc.hpp, imgcodecs.hpp): the cut addon lacks some.
export const CV_8UC1 = 0;
export const CV_8UC2 = 8;
export const CV_8UC3 = 16;
export const CV_64FC1 = 6;
export const COLOR_YUV2BGR_NV12 = 91;
export const COLOR_BGR2GRAY = 6;
export const FLIP_LEFT_TO_RIGHT = 1;
export const INTER_NEAREST = 0;
export const INTER_LINEAR = 1;
export const INTER_AREA = 3;
export const BORDER_CONSTANT = 0;
/** Colour, EXIF orientation applied. */
export const IMREAD_COLOR = 1;
export const IMWRITE_JPEG_QUALITY = 1;
export const IMWRITE_PNG_COMPRESSION = 16;

/** @throws Fault `opencv_missing` */
export function loadOpenCv(threads: number): OpenCv {
  const require = createRequire(import.meta.url);
  try {
    // The package's entry is <package>/build/…; the addon lies in <package>/build/Release.
    const entry = require.resolve("opencv4nodejs");
    const addon = join(dirname(entry), "../../build/Release/opencv4nodejs.node");
    const cv = require(addon) as OpenCv;
    cv.setNumThreads(threads);
    return cv;
  } catch (cause) {
    throw new Fault("opencv_missing", "the OpenCV addon cannot be loaded; run scripts/setup.sh", {
      cause,
    });
  }
}

/** A Buffer over the same memory, as the addon wants. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
