/** The pack's detector: picture → faces in its pixels. */

import { fillBlack, writePlanes } from "../embedding/input.ts";
import type { DetectorSpec } from "../embedding/pack.ts";
import { blendLandmarks } from "../face/blend.ts";
import { decodeFaces, STRIDES, type StrideOutput } from "../face/decode.ts";
import type { Face } from "../face/face.ts";
import { fromView, lookedAtTwice, surroundings, VIEW_PX, viewOf } from "../face/look.ts";
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
import { mirrored, type Picture, regionAround } from "./picture.ts";
import { type loadRuntime, ModelSession } from "./session.ts";

/** `fitted`: padded as little as possible, one session per shape; `square`: any picture, two sessions in all. */
export type InputForm = "fitted" | "square";

export interface Detector {
  /** Best first, at most `max`; in picture pixels. */
  readonly detect: (picture: Picture, max: number, form: InputForm) => Promise<readonly Face[]>;
  /**
   * With better landmarks where the pack asks for two looks, else `face` itself.
   *
   * @returns undefined when the second look does not find the face
   */
  readonly lookAgain: (picture: Picture, face: Face) => Promise<Face | undefined>;
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
/** The face that is looked at again, and others beside it. */
const VIEW_FACES_MAX = 8;
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
  const open = async (width: number, height: number, isSeldom = false): Promise<ModelSession> => {
    const { model, provider, threads } = options;
    const inputShape = [1, 3, height, width] as const;
    const opened = await ModelSession.open(
      runtime,
      { model, inputName: spec.input, inputShape, provider, threads, isSeldom },
      OUTPUTS,
    );
    fillBlack(opened.input, spec.preprocessing);
    return opened;
  };
  const sessionFor = async (
    width: number,
    height: number,
    isSeldom = false,
  ): Promise<ModelSession> => {
    const key = `${width}x${height}`;
    const session = sessions.get(key) ?? (await open(width, height, isSeldom));
    sessions.set(key, session);
    return session;
  };
  const wide = letterbox(16, 9, sizePx, Number.POSITIVE_INFINITY);
  await sessionFor(wide.inputWidthPx, wide.inputHeightPx);
  const viewing = spec.landmarks === "two-looks" ? await open(VIEW_PX, VIEW_PX) : undefined;
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
      const faces = await facesIn(session, spec, width, max);
      return faces.map((face) => inFrame(letter, face));
    },
    lookAgain: async (picture, face) =>
      viewing === undefined ? face : lookAgain(viewing, spec, picture, face),
    release: async () => {
      for (const session of sessions.values()) await session.release();
      await viewing?.release();
    },
  };
}

async function lookAgain(
  session: ModelSession,
  spec: DetectorSpec,
  picture: Picture,
  face: Face,
): Promise<Face | undefined> {
  const region = regionAround(surroundings(face), picture.widthPx, picture.heightPx);
  if (region === undefined) return undefined;
  const view = viewOf(face, region);
  const { widthPx, heightPx } = view;
  const planes = mirrored(picture, region, widthPx, heightPx);
  fillBlack(session.input, spec.preprocessing);
  writePlanes(planes, widthPx, heightPx, session.input, VIEW_PX, spec.preprocessing);
  for (const plane of planes) discard(plane);
  const seen = await facesIn(session, spec, VIEW_PX, VIEW_FACES_MAX);
  return lookedAtTwice(
    face,
    seen.map((other) => fromView(view, other)),
  );
}

/** Runs the model on what lies in the session's input. */
function facesIn(
  session: ModelSession,
  spec: DetectorSpec,
  widthPx: number,
  max: number,
): Promise<readonly Face[]> {
  return session.run((output) => {
    const outputs = STRIDES.map((stride) => strideOutput(stride, output));
    const cells = decodeFaces(outputs, widthPx, spec.scoreMin);
    const kept = suppress(cells, spec.overlapMax, max);
    return spec.landmarks === "best" ? kept : blendLandmarks(kept, cells);
  });
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
