/** Crops of one face: the aligned one that the embedder takes, and the source crop that enrolment keeps. */
import { ARCFACE_112, CROP_SIZE_PX, similarity } from "../face/align.ts";
import type { Face, Landmarks } from "../face/face.ts";
import type { CropStatistics } from "../face/quality.ts";
import type { Box } from "../frame/frame.ts";
import { type Affine, apply, centre, inverse } from "../frame/geometry.ts";
import type { SourceCrop } from "../observation/messages.ts";
import {
  BORDER_CONSTANT,
  COLOR_BGR2GRAY,
  CV_64FC1,
  IMWRITE_PNG_COMPRESSION,
  INTER_LINEAR,
  type Mat,
  type OpenCv,
} from "./opencv.ts";
import { type Picture, type Region, regionAround } from "./picture.ts";

export interface Aligned {
  /** {@link CROP_SIZE_PX} square, BGR. */
  readonly crop: Mat;
  readonly statistics: CropStatistics;
  /** Picture pixels → crop pixels. */
  readonly transform: Affine;
}

const SOURCE_SCALE = 1.6;
const SOURCE_SIDE_MIN_PX = 160;
/** Interpolation reads one pixel further. */
const MARGIN_PX = 2;
const CV_32F = 5;

/** @returns undefined when the landmarks coincide or lie outside the picture */
export function alignFace(cv: OpenCv, picture: Picture, landmarks: Landmarks): Aligned | undefined {
  const transform = similarity(landmarks, ARCFACE_112);
  const footprint = transform === undefined ? undefined : footprintOf(transform);
  if (transform === undefined || footprint === undefined) return undefined;
  const region = regionAround(footprint, picture.widthPx, picture.heightPx);
  if (region === undefined) return undefined;
  const [a, b, c, d, e, f] = transform;
  // The same map from the region's pixels.
  const rows = [
    [a, b, c + a * region.x + b * region.y],
    [d, e, f + d * region.x + e * region.y],
  ];
  const size = new cv.Size(CROP_SIZE_PX, CROP_SIZE_PX);
  const source = picture.region(region);
  const crop = source.warpAffine(new cv.Mat(rows, CV_64FC1), size, INTER_LINEAR, BORDER_CONSTANT);
  source.release();
  return { crop, statistics: statisticsOf(cv, crop), transform };
}

/** The part of the picture that the aligned crop is made from. */
function footprintOf(transform: Affine): Box | undefined {
  const back = inverse(transform);
  if (back === undefined) return undefined;
  const corners = [
    { x: 0, y: 0 },
    { x: CROP_SIZE_PX, y: 0 },
    { x: 0, y: CROP_SIZE_PX },
    { x: CROP_SIZE_PX, y: CROP_SIZE_PX },
  ].map((corner) => apply(back, corner));
  return grown(boxAround(corners), MARGIN_PX);
}

function statisticsOf(cv: OpenCv, crop: Mat): CropStatistics {
  const grey = crop.cvtColor(COLOR_BGR2GRAY);
  const edges = grey.laplacian(CV_32F);
  const deviation = cv.meanStdDev(edges).stddev.getData().readDoubleLE(0);
  const brightness = cv.meanStdDev(grey).mean.getData().readDoubleLE(0);
  edges.release();
  grey.release();
  return { sharpness: deviation * deviation, brightness };
}

/** Lossless, and large enough that the aligned crop can be made from it again, pixel for pixel. */
export function sourceCropOf(cv: OpenCv, picture: Picture, face: Face): SourceCrop | undefined {
  const region = sourceRegion(picture, face);
  if (region === undefined) return undefined;
  const png = cv.imencode(".png", picture.region(region), [IMWRITE_PNG_COMPRESSION, 3]);
  const moved = (point: Landmarks[number]) => ({ x: point.x - region.x, y: point.y - region.y });
  const [p, q, r, s, t] = face.landmarks;
  return {
    png: Uint8Array.from(png),
    landmarks: [moved(p), moved(q), moved(r), moved(s), moved(t)],
  };
}

function sourceRegion(picture: Picture, face: Face): Region | undefined {
  const { x, y } = centre(face.box);
  const width = Math.max(SOURCE_SIDE_MIN_PX, face.box.width * SOURCE_SCALE);
  const height = Math.max(SOURCE_SIDE_MIN_PX, face.box.height * SOURCE_SCALE);
  // Near an edge the crop slides inwards instead of shrinking.
  const slide = (centreAt: number, side: number, limit: number): number =>
    Math.max(0, Math.min(centreAt - side / 2, limit - side));
  const box = {
    x: slide(x, width, picture.widthPx),
    y: slide(y, height, picture.heightPx),
    width,
    height,
  };
  const transform = similarity(face.landmarks, ARCFACE_112);
  const footprint = transform === undefined ? undefined : footprintOf(transform);
  const all =
    footprint === undefined ? box : boxAround([...cornersOf(box), ...cornersOf(footprint)]);
  return regionAround(all, picture.widthPx, picture.heightPx);
}

const cornersOf = (box: Box) => [
  { x: box.x, y: box.y },
  { x: box.x + box.width, y: box.y + box.height },
];

function boxAround(points: readonly { readonly x: number; readonly y: number }[]): Box {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

const grown = (box: Box, by: number): Box => ({
  x: box.x - by,
  y: box.y - by,
  width: box.width + 2 * by,
  height: box.height + 2 * by,
});
