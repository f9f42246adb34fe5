/** A picture as the models need it: scaled whole, or a region at full size; never converted twice. */
import type { Box } from "../frame/frame.ts";
import { assert } from "../lib/assert.ts";
import { discard } from "./discard.ts";
import {
  asBuffer,
  COLOR_YUV2BGR_NV12,
  CV_8UC1,
  CV_8UC2,
  FLIP_LEFT_TO_RIGHT,
  INTER_AREA,
  INTER_LINEAR,
  INTER_NEAREST,
  type Mat,
  type OpenCv,
} from "./opencv.ts";

/** Whole pixels inside the picture. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Picture {
  readonly widthPx: number;
  readonly heightPx: number;
  /** Blue, green and red plane of the whole picture at another size, the caller's own. Both sides even. */
  readonly scaled: (widthPx: number, heightPx: number) => readonly Uint8Array[];
  /** BGR at full size. The region comes from {@link regionAround}. */
  readonly region: (region: Region) => Mat;
}

/** Shrinking by more than this would skip pixels with linear interpolation. */
const LINEAR_MAX = 2;

function interpolationFor(fromPx: number, toPx: number): number {
  return fromPx / toPx > LINEAR_MAX ? INTER_AREA : INTER_LINEAR;
}

export function bgrPicture(cv: OpenCv, image: Mat): Picture {
  const { rows: heightPx, cols: widthPx } = image;
  return {
    widthPx,
    heightPx,
    scaled: (width, height) => {
      if (width === widthPx && height === heightPx) return planesOf(image);
      const small = image.resize(height, width, 0, 0, interpolationFor(widthPx, width));
      const planes = planesOf(small);
      small.release();
      return planes;
    },
    region: ({ x, y, width, height }) => image.getRegion(new cv.Rect(x, y, width, height)),
  };
}

/**
 * Scales the planes before it converts, and converts only the regions that are asked for: on a 720p frame
 * that is a third of the work of converting it whole.
 *
 * @param pixels may be shared memory; read only during calls
 */
export function nv12Picture(
  cv: OpenCv,
  pixels: Uint8Array,
  widthPx: number,
  heightPx: number,
): Picture {
  assert(
    pixels.byteLength === (widthPx * heightPx * 3) / 2,
    `NV12 of ${widthPx}×${heightPx} has ${pixels.byteLength} bytes`,
  );
  const lumaBytes = widthPx * heightPx;
  const toBgr = (nv12: Uint8Array, width: number, height: number): Mat => {
    const planes = new cv.Mat(asBuffer(nv12), (height * 3) / 2, width, CV_8UC1);
    const bgr = planes.cvtColor(COLOR_YUV2BGR_NV12);
    planes.release();
    return bgr;
  };
  const shrunk = (width: number, height: number): Mat => {
    const luma = new cv.Mat(asBuffer(pixels.subarray(0, lumaBytes)), heightPx, widthPx, CV_8UC1);
    const chroma = new cv.Mat(
      asBuffer(pixels.subarray(lumaBytes)),
      heightPx / 2,
      widthPx / 2,
      CV_8UC2,
    );
    const planes = [
      taken(luma.resize(height, width, 0, 0, interpolationFor(widthPx, width))),
      // Two interleaved channels have no fast path but this one, and a detector hardly sees colour.
      taken(chroma.resize(height / 2, width / 2, 0, 0, INTER_NEAREST)),
    ];
    luma.release();
    chroma.release();
    const small = Buffer.concat(planes);
    const bgr = toBgr(small, width, height);
    for (const bytes of [...planes, small]) discard(bytes);
    return bgr;
  };
  return {
    widthPx,
    heightPx,
    scaled: (width, height) => {
      const bgr =
        width === widthPx && height === heightPx
          ? toBgr(pixels, width, height)
          : shrunk(width, height);
      const planes = planesOf(bgr);
      bgr.release();
      return planes;
    },
    region: ({ x, y, width, height }) => {
      const part = new Uint8Array((width * height * 3) / 2);
      for (let row = 0; row < height; row += 1) {
        const from = (y + row) * widthPx + x;
        part.set(pixels.subarray(from, from + width), row * width);
      }
      for (let row = 0; row < height / 2; row += 1) {
        const from = lumaBytes + (y / 2 + row) * widthPx + x;
        part.set(pixels.subarray(from, from + width), width * height + row * width);
      }
      const bgr = toBgr(part, width, height);
      discard(part);
      return bgr;
    },
  };
}

/** Planes of a region as {@link Picture.scaled} gives those of the whole, mirrored left to right. */
export function mirrored(
  picture: Picture,
  region: Region,
  widthPx: number,
  heightPx: number,
): readonly Uint8Array[] {
  const full = picture.region(region);
  const small = full.resize(heightPx, widthPx, 0, 0, interpolationFor(region.width, widthPx));
  const turned = small.flip(FLIP_LEFT_TO_RIGHT);
  const planes = planesOf(turned);
  for (const mat of [full, small, turned]) mat.release();
  return planes;
}

function planesOf(image: Mat): readonly Uint8Array[] {
  return image.splitChannels().map(taken);
}

/** The bytes of a Mat that nobody else needs. */
function taken(image: Mat): Buffer {
  const bytes = image.getData();
  image.release();
  return bytes;
}

/**
 * The pixels that `box` touches, inside the picture and on even pixels, as NV12 needs it.
 *
 * @returns undefined when the box lies outside
 */
export function regionAround(box: Box, widthPx: number, heightPx: number): Region | undefined {
  const even = (value: number): number => value - (value % 2);
  const x = even(Math.max(0, Math.floor(box.x)));
  const y = even(Math.max(0, Math.floor(box.y)));
  const right = Math.min(widthPx, Math.ceil((box.x + box.width) / 2) * 2);
  const bottom = Math.min(heightPx, Math.ceil((box.y + box.height) / 2) * 2);
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : undefined;
}
