/** What the face step cannot do without, alone: ONNX Runtime and OpenCV called directly, nothing around them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fillBlack, writeNchw, writePlanes } from "../../src/embedding/input.ts";
import { ARCFACE_112, CROP_SIZE_PX, similarity } from "../../src/face/align.ts";
import type { Face } from "../../src/face/face.ts";
import { letterbox } from "../../src/frame/letterbox.ts";
import { discard } from "../../src/vision/discard.ts";
import type { Models } from "../../src/vision/models.ts";
import {
  asBuffer,
  BORDER_CONSTANT,
  COLOR_YUV2BGR_NV12,
  CV_8UC1,
  CV_64FC1,
  INTER_LINEAR,
  type Mat,
} from "../../src/vision/opencv.ts";
import type { Picture } from "../../src/vision/picture.ts";
import { loadRuntime, threadsFor } from "../../src/vision/session.ts";
import { HEIGHT, WIDTH } from "./pictures.ts";

export interface BareModel {
  readonly input: Float32Array;
  readonly run: () => Promise<void>;
}

const DETECTOR_PX = 640;

/** The pack's two models as `Models` opens them, with the tensors that it fills for this picture. */
export async function bareModels(directory: string, models: Models, picture: Picture, crop: Mat) {
  const { detector, embedder } = models.pack;
  const letter = letterbox(WIDTH, HEIGHT, DETECTOR_PX);
  const { inputWidthPx, inputHeightPx, scaledWidthPx, scaledHeightPx } = letter;
  const detect = await open(directory, detector.file, detector.input, inputWidthPx, inputHeightPx);
  fillBlack(detect.input, detector.preprocessing);
  const scaled = picture.scaled(scaledWidthPx, scaledHeightPx);
  const writeDetector = (): void =>
    writePlanes(
      scaled,
      scaledWidthPx,
      scaledHeightPx,
      detect.input,
      inputWidthPx,
      detector.preprocessing,
    );
  writeDetector();
  const { widthPx, heightPx } = embedder.preprocessing;
  const embed = await open(directory, embedder.file, embedder.input, widthPx, heightPx);
  const sized = crop.resize(heightPx, widthPx, 0, 0, INTER_LINEAR).getData();
  writeNchw(sized, widthPx, heightPx, embed.input, widthPx, embedder.preprocessing);
  return {
    detect,
    embed,
    writeDetector,
    detectorInput: `${inputWidthPx}×${inputHeightPx}`,
    embedderInput: `${widthPx}×${heightPx}`,
    scale: () => {
      for (const plane of picture.scaled(scaledWidthPx, scaledHeightPx)) discard(plane);
    },
  };
}

async function open(
  directory: string,
  file: string,
  inputName: string,
  width: number,
  height: number,
): Promise<BareModel> {
  const runtime = loadRuntime();
  const session = await runtime.InferenceSession.create(readFileSync(join(directory, file)), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threadsFor(0),
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    enableCpuMemArena: true,
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
  const input = new Float32Array(3 * height * width);
  const feeds = { [inputName]: new runtime.Tensor("float32", input, [1, 3, height, width]) };
  return {
    input,
    run: async () => {
      for (const tensor of Object.values(await session.run(feeds))) tensor.dispose();
    },
  };
}

/** OpenCV's calls as a reader of its manual would write them: convert the frame, scale it; warp the face. */
export function bareOpenCv({ cv }: Models, pixels: Uint8Array, { landmarks }: Face) {
  const planes = new cv.Mat(asBuffer(pixels), (HEIGHT * 3) / 2, WIDTH, CV_8UC1);
  const bgr = planes.cvtColor(COLOR_YUV2BGR_NV12);
  const transform = similarity(landmarks, ARCFACE_112);
  if (transform === undefined) throw new Error("the picture's face cannot be aligned");
  const [a, b, c, d, e, f] = transform;
  const matrix = new cv.Mat(
    [
      [a, b, c],
      [d, e, f],
    ],
    CV_64FC1,
  );
  const size = new cv.Size(CROP_SIZE_PX, CROP_SIZE_PX);
  return {
    convertAndScale: () => {
      const whole = planes.cvtColor(COLOR_YUV2BGR_NV12);
      whole.resize(360, DETECTOR_PX, 0, 0, INTER_LINEAR).release();
      whole.release();
    },
    warp: () => bgr.warpAffine(matrix, size, INTER_LINEAR, BORDER_CONSTANT).release(),
  };
}
