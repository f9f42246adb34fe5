/** Golden vectors of a pack: made once where the pack is built, checked wherever it runs. */
import { goldenVerdict } from "../embedding/golden.ts";
import type { EmbedderSpec, Pack } from "../embedding/pack.ts";
import { CROP_SIZE_PX } from "../face/align.ts";
import { Fault } from "../lib/fault.ts";
import type { Provider, SelfTestResult } from "../observation/messages.ts";
import { noted, percentile95 } from "../release/percentile.ts";
import { type Embedder, openEmbedder } from "./embedder.ts";
import { asBuffer, CV_8UC3, IMREAD_COLOR, IMWRITE_PNG_COMPRESSION, type OpenCv } from "./opencv.ts";
import { type loadRuntime, threadsFor } from "./session.ts";

const CROPS = 4;

/** Least cosine between machines: float32 on other instructions, TF32 on CUDA, half precision on TensorRT. */
const COSINE_MIN = { cpu: 0.9995, cuda: 0.998, tensorrt: 0.99 };

/**
 * Golden vectors of an embedder on this machine's CPU, from drawn crops: a smooth oval with eyes and
 * mouth in changing light, so that no picture of a person is needed.
 */
export async function makeGolden(
  cv: OpenCv,
  runtime: ReturnType<typeof loadRuntime>,
  model: Uint8Array,
  spec: Omit<EmbedderSpec, "file">,
): Promise<Pack["golden"]> {
  const embedder = await openEmbedder(runtime, model, spec, "cpu", threadsFor(0));
  try {
    const vectors: Pack["golden"]["vectors"] = [];
    for (let index = 0; index < CROPS; index += 1) {
      const crop = new cv.Mat(asBuffer(drawnCrop(index)), CROP_SIZE_PX, CROP_SIZE_PX, CV_8UC3);
      const embedding = await embedder.embed(crop);
      if (embedding === undefined)
        throw new Fault("model_mismatch", "the embedder gives no finite vector for a drawn crop");
      // imencode takes BGR and stores RGB, which is what the file is to hold.
      const png = cv.imencode(".png", crop, [IMWRITE_PNG_COMPRESSION, 9]);
      vectors.push({
        cropPng: png.toString("base64"),
        embedding: [...embedding].map((value) => Number(value.toFixed(7))),
      });
    }
    return { vectors, cosineMin: COSINE_MIN };
  } finally {
    await embedder.release();
  }
}

/** @throws Fault `golden_mismatch` when this machine and provider do not give the pack's embeddings */
export async function checkGolden(
  cv: OpenCv,
  embedder: Embedder,
  golden: Pack["golden"],
  provider: Provider,
): Promise<void> {
  const actual: Float32Array[] = [];
  for (const [index, { cropPng }] of golden.vectors.entries()) {
    const crop = decoded(cv, Buffer.from(cropPng, "base64"), index);
    actual.push((await embedder.embed(crop)) ?? new Float32Array(0));
  }
  const expected = golden.vectors.map(({ embedding }) => embedding);
  const verdict = goldenVerdict(expected, actual, golden.cosineMin[provider]);
  if (verdict.kind === "same") return;
  throw new Fault(
    "golden_mismatch",
    `golden vector ${verdict.index} has cosine ${verdict.cosine.toFixed(5)} on ${provider}, ${golden.cosineMin[provider]} is needed; do not use this pack here`,
  );
}

/** What running the golden vectors again shows; the memory is the process's own. */
export type GoldenRuns = Omit<SelfTestResult, "rssBytes">;

/** @param runs of each crop @param nowMs for the times */
export async function runGolden(
  cv: OpenCv,
  embedder: Embedder,
  golden: Pack["golden"],
  runs: number,
  nowMs: () => number,
): Promise<GoldenRuns> {
  let cosineLeast: number | undefined = 1;
  let isRepeatable = true;
  let times: readonly number[] = [];
  for (const [index, { cropPng, embedding: expected }] of golden.vectors.entries()) {
    const crop = decoded(cv, Buffer.from(cropPng, "base64"), index);
    let first: Float32Array | undefined;
    for (let run = 0; run < runs; run += 1) {
      const startedMs = nowMs();
      const actual = await embedder.embed(crop);
      times = noted(times, nowMs() - startedMs);
      first ??= actual;
      const verdict = goldenVerdict([expected], [actual ?? new Float32Array(0)], -1);
      const cosine = verdict.kind === "same" ? verdict.cosineLeast : undefined;
      cosineLeast =
        cosine === undefined || cosineLeast === undefined
          ? undefined
          : Math.min(cosineLeast, cosine);
      isRepeatable &&= actual !== undefined && isSame(actual, first);
    }
    crop.release();
  }
  return {
    ...(cosineLeast === undefined ? {} : { goldenCosine: cosineLeast }),
    isRepeatable,
    p95Ms: percentile95(times),
  };
}

const isSame = (a: Float32Array, b: Float32Array | undefined): boolean =>
  b !== undefined && a.every((value, index) => Object.is(value, b[index]));

function decoded(cv: OpenCv, png: Buffer, index: number): InstanceType<OpenCv["Mat"]> {
  const crop = cv.imdecode(png, IMREAD_COLOR);
  if (crop.empty || crop.rows !== CROP_SIZE_PX || crop.cols !== CROP_SIZE_PX) {
    throw new Fault(
      "pack_invalid",
      `golden crop ${index} is no ${CROP_SIZE_PX}×${CROP_SIZE_PX} picture; get the pack again`,
    );
  }
  return crop;
}

/** BGR, HWC. Deterministic: the same on every machine up to nothing, since only integers leave it. */
function drawnCrop(index: number): Uint8Array {
  const pixels = new Uint8Array(CROP_SIZE_PX * CROP_SIZE_PX * 3);
  const tones = [
    [120, 150, 200],
    [60, 80, 120],
    [150, 170, 220],
    [90, 120, 170],
  ] as const;
  const tone = tones[index % tones.length] as readonly [number, number, number];
  const blob = (x: number, y: number, cx: number, cy: number, rx: number, ry: number): number =>
    1 / (1 + (((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) ** 4);
  for (let y = 0; y < CROP_SIZE_PX; y += 1) {
    for (let x = 0; x < CROP_SIZE_PX; x += 1) {
      const face = blob(x, y, 56, 60, 42, 58);
      const dark =
        blob(x, y, 38, 52, 7, 4) +
        blob(x, y, 74, 52, 7, 4) +
        blob(x, y, 56, 92, 15 + index, 4) +
        0.4 * blob(x, y, 56, 72, 6, 6);
      const light = 0.75 + 0.25 * ((index % 2 === 0 ? x : CROP_SIZE_PX - x) / CROP_SIZE_PX);
      for (let channel = 0; channel < 3; channel += 1) {
        const skin = (tone[channel] as number) * light * (1 - 0.75 * Math.min(1, dark));
        pixels[(y * CROP_SIZE_PX + x) * 3 + channel] = Math.round(
          skin * face + (40 + 30 * index) * (1 - face),
        );
      }
    }
  }
  return pixels;
}
