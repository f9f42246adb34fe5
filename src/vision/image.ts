/** Pictures that somebody sent: judged by their header before any decoder sees them. */
import { Fault } from "../lib/fault.ts";
import { asBuffer, IMREAD_COLOR, type Mat, type OpenCv } from "./opencv.ts";

export const IMAGE_MAX_PIXELS = 25_000_000;
export const IMAGE_MAX_BYTES = 20 * 1024 * 1024;
const SIDE_MIN_PX = 16;

interface Size {
  readonly widthPx: number;
  readonly heightPx: number;
}

/**
 * JPEG or PNG → BGR, EXIF orientation applied.
 *
 * @throws Fault `image_unsupported` (no JPEG or PNG), `image_too_large` (bytes or pixels), `image_corrupt`
 */
export function decodeImage(cv: OpenCv, bytes: Uint8Array): Mat {
  if (bytes.byteLength > IMAGE_MAX_BYTES) {
    throw new Fault(
      "image_too_large",
      `the picture has ${bytes.byteLength} bytes, ${IMAGE_MAX_BYTES} are allowed; send a smaller one`,
    );
  }
  const size = imageSize(bytes);
  if (size.widthPx * size.heightPx > IMAGE_MAX_PIXELS) {
    throw new Fault(
      "image_too_large",
      `the picture has ${size.widthPx}×${size.heightPx} pixels, 25 million are allowed; scale it down`,
    );
  }
  if (size.widthPx < SIDE_MIN_PX || size.heightPx < SIDE_MIN_PX) {
    throw new Fault(
      "image_unsupported",
      `the picture has ${size.widthPx}×${size.heightPx} pixels, ${SIDE_MIN_PX} a side is the least; send a larger one`,
    );
  }
  const image = decoded(cv, bytes);
  // EXIF may have turned it by a quarter.
  const sides = [image.cols, image.rows].toSorted((a, b) => a - b);
  const declared = [size.widthPx, size.heightPx].toSorted((a, b) => a - b);
  if (image.empty || sides[0] !== declared[0] || sides[1] !== declared[1]) throw corrupt();
  return image;
}

function decoded(cv: OpenCv, bytes: Uint8Array): Mat {
  try {
    return cv.imdecode(asBuffer(bytes), IMREAD_COLOR);
  } catch (cause) {
    throw corrupt(cause);
  }
}

const corrupt = (cause?: unknown): Fault =>
  new Fault("image_corrupt", "the picture is damaged or cut off; send it again", { cause });

/** Declared size. @throws Fault `image_unsupported` or `image_corrupt` */
export function imageSize(bytes: Uint8Array): Size {
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return pngSize(bytes);
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return jpegSize(bytes);
  throw new Fault("image_unsupported", "the picture is neither JPEG nor PNG; convert it");
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((value, index) => bytes[index] === value);
}

/** PNG specification 11.2.2: IHDR comes first. An end chunk must be there, or the file was cut off. */
function pngSize(bytes: Uint8Array): Size {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 45 || view.getUint32(12) !== 0x49484452) throw corrupt();
  const size = { widthPx: view.getUint32(16), heightPx: view.getUint32(20) };
  if (size.widthPx === 0 || size.heightPx === 0) throw corrupt();
  if (!hasPngEnd(view)) throw corrupt();
  return size;
}

/** Walks the chunks, so that a truncated file is refused instead of decoded with a grey rest. */
function hasPngEnd(view: DataView): boolean {
  let at = 8;
  while (at + 12 <= view.byteLength) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49454e44) return true;
    at += 12 + length;
  }
  return false;
}

/** ITU-T T.81 B.1.1: segments with lengths; the frame header SOFn holds the size. */
function jpegSize(bytes: Uint8Array): Size {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at + 9 < bytes.byteLength) {
    if (view.getUint8(at) !== 0xff) throw corrupt();
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      const size = { heightPx: view.getUint16(at + 5), widthPx: view.getUint16(at + 7) };
      if (size.widthPx === 0 || size.heightPx === 0 || !hasJpegEnd(bytes)) throw corrupt();
      return size;
    }
    at += 2 + view.getUint16(at + 2);
  }
  throw corrupt();
}

/** End of image, somewhere near the end: cameras append padding and thumbnails. */
function hasJpegEnd(bytes: Uint8Array): boolean {
  for (let at = bytes.byteLength - 2; at > 2; at -= 1)
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  return false;
}
