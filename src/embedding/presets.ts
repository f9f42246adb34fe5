/**
 * Models that users have and how to run them: what `models import` knows. A file is recognised by its
 * sha256, so a preset never meets a file that it was not measured with.
 */
import type { Calibration } from "./calibration.ts";
import type { DetectorSpec, EmbedderSpec } from "./pack.ts";
import { MOBILEFACENET_CALIBRATION, RETAIL_0095_CALIBRATION } from "./preset-calibrations.ts";

interface PresetBase {
  readonly name: string;
  /** Of the file as published. */
  readonly sha256: string;
  readonly source: string;
  readonly licence: string;
  readonly demoOnly: boolean;
}

export interface DetectorPreset extends PresetBase {
  readonly kind: "detector";
  readonly spec: Omit<DetectorSpec, "file">;
  /** The file declares one input size although its operators take any. */
  readonly freeInputSize: boolean;
}

export interface EmbedderPreset extends PresetBase {
  readonly kind: "embedder";
  readonly spec: Omit<EmbedderSpec, "file">;
  readonly calibration: Calibration | undefined;
}

type Triple = readonly [number, number, number];
const RAW = {
  mean: [0, 0, 0] as [number, number, number],
  std: [1, 1, 1] as [number, number, number],
};
const times255 = (values: Triple): [number, number, number] => [
  values[0] * 255,
  values[1] * 255,
  values[2] * 255,
];

export const DETECTOR_PRESETS: readonly DetectorPreset[] = [
  {
    kind: "detector",
    name: "yunet-2023mar",
    sha256: "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    source:
      "ShiqiYu/libfacedetection.train onnx/yunet_s_640_640.onnx @2b5e61de; OpenCV Zoo face_detection_yunet_2023mar.onnx",
    licence: "MIT (OpenCV Zoo), Apache-2.0 (libfacedetection.train)",
    demoOnly: false,
    freeInputSize: true,
    spec: {
      layout: "yunet",
      input: "input",
      preprocessing: { widthPx: 1920, heightPx: 1920, channelOrder: "bgr", ...RAW },
      scoreMin: 0.7,
      overlapMax: 0.3,
      landmarks: "best",
    },
  },
];

export const EMBEDDER_PRESETS: readonly EmbedderPreset[] = [
  {
    kind: "embedder",
    name: "retail-0095",
    sha256: "982feceb10832ef45a0f8aaf5ec29183e02807865f2cc5411bb575908a045243",
    source: "Open Model Zoo face-reidentification-retail-0095, converted from its FP16 IR",
    licence: "Apache-2.0",
    demoOnly: true,
    spec: {
      input: "input",
      output: "output",
      preprocessing: { widthPx: 128, heightPx: 128, channelOrder: "bgr", ...RAW },
      align: "arcface-112",
      dimension: 256,
      spaceId: "retail-0095.arcface112-bilinear128.v1" as EmbedderSpec["spaceId"],
    },
    calibration: RETAIL_0095_CALIBRATION,
  },
  {
    kind: "embedder",
    name: "mobilefacenet-foamliu",
    sha256: "b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
    source: "foamliu/MobileFaceNet weights/MobileFaceNet.onnx @a6cc9032",
    licence: "Apache-2.0",
    demoOnly: true,
    spec: {
      input: "input0",
      output: "output0",
      preprocessing: {
        widthPx: 112,
        heightPx: 112,
        channelOrder: "rgb",
        // ImageNet's, on pixels in [0, 255].
        mean: times255([0.485, 0.456, 0.406]),
        std: times255([0.229, 0.224, 0.225]),
      },
      align: "arcface-112",
      dimension: 128,
      spaceId: "mobilefacenet-foamliu.arcface112.v1" as EmbedderSpec["spaceId"],
    },
    calibration: MOBILEFACENET_CALIBRATION,
  },
];
