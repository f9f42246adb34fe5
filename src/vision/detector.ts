/** The pack's detector: picture → faces in its pixels. */

import { fillBlack, writePlanes } from "../embedding/input.ts";
import type { DetectorSpec } from "../embedding/pack.ts";
import { blendLandmarks } from "../face/blend.ts";
import { decodeFaces, STRIDES, type StrideOutput } from "../face/decode.ts";
import type { Face } from "../face/face.ts";
import { suppress } from "../face/suppress.ts";
import {
  INPUT_MULTIPLE,
  type Letterbox,
  letterbox,
  toFrameBox,
  toFramePoint,
} from "../frame/letterbox.ts";
import type { Provider } from "../observation/messages.ts";
import { discard } from "./discard.ts";
import type { Picture } from "./picture.ts";
import { type loadRuntime, ModelSession } from "./session.ts";

/** `fitted`: padded as little as possible, one session per shape; `square`: any picture, two sessions in all. */
export type InputForm = "fitted" | "square";

export interface Detector {
  /** Best first, at most `max`; in picture pixels. */
  readonly detect: (picture: Picture, max: number, form: InputForm) => Promise<readonly Face[]>;
  readonly release: () => Promise<void>;
}

export interface DetectorOptions {
  readonly model: Uint8Array;
  readonly spec: DetectorSpec;
  /** Longer side of the scaled picture. */
  readonly sizePx: number;
  readonly provider: Provider;
  readonly threads: number;
}

/** Cameras of more shapes than this share the square one: sessions cost memory and are never given back. */
const SHAPES_MAX = 6;
/** Portraits that are small even when magnified need no large square. */
const SMALL_SQUARE_PX = 320;
const OUTPUTS = STRIDES.flatMap((stride) =>
  ["cls", "obj", "bbox", "kps"].map((what) => `${what}_${stride}`),
);

/** Opens the 16:9 shape at once, so that a provider that cannot run the model fails here. */
export async function openDetector(
  runtime: ReturnType<typeof loadRuntime>,
  options: DetectorOptions,
): Promise<Detector> {
  const { spec } = options;
  const sizePx = Math.min(options.sizePx, spec.preprocessing.widthPx, spec.preprocessing.heightPx);
  const sessions = new Map<string, ModelSession>();
  const sessionFor = async (
    width: number,
    height: number,
    isSeldom = false,
  ): Promise<ModelSession> => {
    const key = `${width}x${height}`;
    const known = sessions.get(key);
    if (known !== undefined) return known;
    const { model, provider, threads } = options;
    const inputShape = [1, 3, height, width] as const;
    const opened = await ModelSession.open(
      runtime,
      { model, inputName: spec.input, inputShape, provider, threads, isSeldom },
      OUTPUTS,
    );
    fillBlack(opened.input, spec.preprocessing);
    sessions.set(key, opened);
    return opened;
  };
  const wide = letterbox(16, 9, sizePx, Number.POSITIVE_INFINITY);
  await sessionFor(wide.inputWidthPx, wide.inputHeightPx);
  const squareSide = Math.ceil(sizePx / INPUT_MULTIPLE) * INPUT_MULTIPLE;
  const smallSide = Math.min(squareSide, SMALL_SQUARE_PX);
  return {
    detect: async (picture, max, form) => {
      const letter = evenLetterbox(picture.widthPx, picture.heightPx, sizePx);
      const isFitted =
        form === "fitted" &&
        (sessions.size < SHAPES_MAX ||
          sessions.has(`${letter.inputWidthPx}x${letter.inputHeightPx}`));
      const side =
        Math.max(letter.inputWidthPx, letter.inputHeightPx) <= smallSide ? smallSide : squareSide;
      const width = isFitted ? letter.inputWidthPx : side;
      // Enrolment asks once in a while; its large picture must not keep tens of megabytes for that.
      const isSeldom = form === "square";
      const session = await sessionFor(width, isFitted ? letter.inputHeightPx : side, isSeldom);
      const { scaledWidthPx, scaledHeightPx } = letter;
      // The square shape serves pictures of all sizes: what an earlier one left beside this one must go.
      if (!isFitted) fillBlack(session.input, spec.preprocessing);
      const planes = picture.scaled(scaledWidthPx, scaledHeightPx);
      writePlanes(planes, scaledWidthPx, scaledHeightPx, session.input, width, spec.preprocessing);
      for (const plane of planes) discard(plane);
      const found = await session.run((output) =>
        decodeFaces(
          STRIDES.map((stride) => strideOutput(stride, output)),
          width,
          spec.scoreMin,
        ),
      );
      const kept = suppress(found, spec.overlapMax, max);
      const faces = spec.landmarks === "blended" ? blendLandmarks(kept, found) : kept;
      return faces.map((face) => inFrame(letter, face));
    },
    release: async () => {
      for (const session of sessions.values()) await session.release();
    },
  };
}

/** NV12 scales in even sides only. */
function evenLetterbox(widthPx: number, heightPx: number, sizePx: number): Letterbox {
  const letter = letterbox(widthPx, heightPx, sizePx);
  const even = (value: number): number => Math.max(2, value - (value % 2));
  const [scaledWidthPx, scaledHeightPx] = [even(letter.scaledWidthPx), even(letter.scaledHeightPx)];
  return {
    ...letter,
    scaledWidthPx,
    scaledHeightPx,
    stepX: widthPx / scaledWidthPx,
    stepY: heightPx / scaledHeightPx,
  };
}

function strideOutput(stride: number, output: (name: string) => Float32Array): StrideOutput {
  return {
    stride,
    cls: output(`cls_${stride}`),
    obj: output(`obj_${stride}`),
    bbox: output(`bbox_${stride}`),
    kps: output(`kps_${stride}`),
  };
}

function inFrame(letter: Letterbox, face: Face): Face {
  const [a, b, c, d, e] = face.landmarks;
  const to = (point: Face["landmarks"][number]) => toFramePoint(letter, point);
  return {
    box: toFrameBox(letter, face.box),
    landmarks: [to(a), to(b), to(c), to(d), to(e)],
    score: face.score,
  };
}
