/**
 * Golden vectors of alignment and detection for test_align.py, by the daemon's own code, from a drawn
 * picture:
 *
 *   scripts/node scripts/training/tests/make-crops.ts
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ARCFACE_112, similarity } from "../../../src/face/align.ts";
import { decodeFaces, STRIDES } from "../../../src/face/decode.ts";
import type { Landmarks } from "../../../src/face/face.ts";
import { isPlausible } from "../../../src/face/sanity.ts";
import { suppress } from "../../../src/face/suppress.ts";
import { letterbox, toFrameBox, toFramePoint } from "../../../src/frame/letterbox.ts";
import { alignFace } from "../../../src/vision/crop.ts";
import { CV_8UC3, loadOpenCv } from "../../../src/vision/opencv.ts";
import { bgrPicture } from "../../../src/vision/picture.ts";

const GOLDEN = join(import.meta.dirname, "golden");
const WIDTH = 161;
const HEIGHT = 119;
const INPUT_PX = 96;
const SCORE_MIN = 0.35;
const OVERLAP_MAX = 0.3;
const FACES_MAX = 20;

/** Park and Miller's generator: the same numbers everywhere. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Slopes, discs and stripes: flat enough to compress, with edges that show half a pixel. */
function drawn(): Buffer {
  const bgr = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let y = 0; y < HEIGHT; y += 1)
    for (let x = 0; x < WIDTH; x += 1) {
      const at = (y * WIDTH + x) * 3;
      const disc = Math.hypot(x - 70, y - 55) < 38;
      const eye = Math.hypot(x - 57, y - 47) < 6 || Math.hypot(x - 84, y - 49) < 6;
      const stripe = y > 68 && y < 78 && x > 55 && x < 90 && (x >> 2) % 2 === 0;
      bgr[at] = eye ? 20 : disc ? 120 : x - (x % 16);
      bgr[at + 1] = eye ? 90 : disc ? 160 : 2 * (y - (y % 8));
      bgr[at + 2] = stripe ? 30 : disc ? 210 : 60;
    }
  return bgr;
}

/** The template, turned, scaled and moved. */
function placed(scale: number, degrees: number, x: number, y: number): Landmarks {
  const [cos, sin] = [Math.cos(degrees / 57.3) * scale, Math.sin(degrees / 57.3) * scale];
  const [a, b, c, d, e] = ARCFACE_112.map((point) => ({
    x: x + cos * (point.x - 56) - sin * (point.y - 72),
    y: y + sin * (point.x - 56) + cos * (point.y - 72),
  }));
  return [a, b, c, d, e] as Landmarks;
}

const cv = loadOpenCv(1);
const picture = new cv.Mat(drawn(), HEIGHT, WIDTH, CV_8UC3);
const random = numbers(7);
const wobbled = (points: Landmarks): Landmarks =>
  points.map(({ x, y }) => ({ x: x + 3 * random() - 1.5, y: y + 3 * random() - 1.5 })) as never;

const crops = [
  placed(0.6, 0, 70, 60),
  wobbled(placed(0.77, -17, 71.3, 58.2)),
  wobbled(placed(0.31, 40, 66, 50)),
  wobbled(placed(1.3, 5, 80, 60)),
  wobbled(placed(0.7, -8, 10, 20)),
  wobbled(placed(0.9, 170, 150, 110)),
].map((landmarks) => {
  const aligned = alignFace(cv, bgrPicture(cv, picture), landmarks);
  if (aligned === undefined) throw new Error("a golden face lies outside the picture");
  const png = cv.imencode(".png", aligned.crop).toString("base64");
  return { landmarks, transform: aligned.transform, png };
});

const collapsed = ARCFACE_112.map(() => ({ x: 5, y: 5 })) as unknown as Landmarks;
const none = [collapsed, placed(0.5, 0, 900, 900)].map((landmarks) => {
  if (alignFace(cv, bgrPicture(cv, picture), landmarks) !== undefined) throw new Error("a crop");
  return { landmarks, hasTransform: similarity(landmarks, ARCFACE_112) !== undefined };
});

const scaled = [
  [80, 60],
  [64, 48],
  [176, 130],
].map(([width = 0, height = 0]) => {
  const planes = bgrPicture(cv, picture).scaled(width, height);
  const bgr = Buffer.alloc(width * height * 3);
  for (let at = 0; at < bgr.length; at += 1) bgr[at] = planes[at % 3]?.[Math.floor(at / 3)] ?? 0;
  const png = cv.imencode(".png", new cv.Mat(bgr, height, width, CV_8UC3)).toString("base64");
  return { width, height, png };
});

const letterboxes = [
  [1280, 720, 640],
  [150, 150, 640],
  [119, 161, 320],
  [1, 500, 640],
  [333, 127, 480],
].map(([width = 0, height = 0, longerSide = 0]) => {
  const letter = letterbox(width, height, longerSide);
  const box = toFrameBox(letter, { x: 10, y: 20, width: 30, height: 40 });
  return { width, height, longerSide, letter, point: toFramePoint(letter, { x: 3, y: 5 }), box };
});

const outputs = STRIDES.map((stride) => {
  const cells = (INPUT_PX / stride) ** 2;
  const filled = (count: number, value: () => number): Float32Array =>
    Float32Array.from({ length: count }, value);
  const cls = filled(cells, () => 1.2 * random() - 0.1);
  const obj = filled(cells, () => 1.2 * random() - 0.1);
  // A few rounded scores tie; a few cells are broken.
  cls.forEach((value, cell) => {
    if (cell % 5 === 0) cls[cell] = obj[cell] = Math.round(4 * value) / 4;
  });
  cls[3] = Number.NaN;
  const bbox = filled(4 * cells, () => 2 * random() - 0.5);
  bbox[4 * 2 + 2] = 1000;
  const kps = filled(10 * cells, () => 3 * random() - 1.5);
  // Template landmarks in every other cell, so that some are plausible.
  for (let cell = 0; cell < cells; cell += 2)
    ARCFACE_112.forEach(({ x, y }, n) => {
      kps[cell * 10 + 2 * n] = (x - 56) / 40;
      kps[cell * 10 + 2 * n + 1] = (y - 60) / 40;
    });
  return { stride, cls, obj, bbox, kps };
});
const decoded = decodeFaces(outputs, INPUT_PX, SCORE_MIN);
const faces = suppress(decoded, OVERLAP_MAX, FACES_MAX).map((face) => ({
  ...face,
  isPlausible: isPlausible(face),
}));

const base64 = (values: Float32Array): string => Buffer.from(values.buffer).toString("base64");
const golden = {
  madeBy: "scripts/node scripts/training/tests/make-crops.ts",
  opencv: cv.version,
  crops,
  none,
  scaled,
  letterboxes,
  detection: {
    inputPx: INPUT_PX,
    scoreMin: SCORE_MIN,
    overlapMax: OVERLAP_MAX,
    facesMax: FACES_MAX,
    outputs: outputs.map(({ stride, cls, obj, bbox, kps }) => ({
      stride,
      cls: base64(cls),
      obj: base64(obj),
      bbox: base64(bbox),
      kps: base64(kps),
    })),
    decoded: decoded.length,
    faces,
  },
};
writeFileSync(join(GOLDEN, "crops.png"), cv.imencode(".png", picture));
writeFileSync(join(GOLDEN, "crops.json"), `${JSON.stringify(golden)}\n`);
