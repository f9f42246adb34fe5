/** Third-party models and pictures that stay outside the repository (see ../shared/data/SOURCES.md). */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

export const SHARED = resolve(
  import.meta.dirname,
  "../..",
  process.env["OSTIARY_SHARED"] ?? "../shared",
);
export const MODELS = `${SHARED}/data/models`;
export const YUNET = `${MODELS}/face_detection_yunet_2023mar.onnx`;
export const RETAIL_0095 = `${MODELS}/face-reidentification-retail-0095.onnx`;
export const MOBILEFACENET = `${MODELS}/mobilefacenet_foamliu.onnx`;
export const LFW_TAR = `${SHARED}/data/lfw/lfw_pairs.tar`;
export const CLIPS = `${SHARED}/data/clips`;

/** For `test(name, { skip: withoutModels() }, …)`: false, or why the test cannot run. */
export function withoutModels(): string | false {
  const missing = [YUNET, RETAIL_0095, MOBILEFACENET].filter((file) => !existsSync(file));
  return missing.length === 0 ? false : `SKIPPED: no ${missing.join(", ")}; set OSTIARY_SHARED`;
}

/** As {@link withoutModels}, for tests that need only people in clips. */
export function withoutClips(): string | false {
  return existsSync(CLIPS) ? false : `SKIPPED: no ${CLIPS}; set OSTIARY_SHARED`;
}
