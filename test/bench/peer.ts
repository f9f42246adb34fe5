/**
 * The peer a Node user would pick: @vladmandic/face-api (wasm backend, models from its own package).
 * Runs alone in its process, prints one JSON line: `node test/bench/peer.ts RGB_FILE WIDTH HEIGHT ROUNDS`.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { race, rssMb, type Timing } from "./stats.ts";

const require = createRequire(import.meta.url);

export interface PeerFigures {
  /** Found by each detector. */
  readonly faces: Readonly<Record<"tiny" | "ssd", number>>;
  /** Detect, landmarks and descriptor of all faces of the picture. */
  readonly timings: Readonly<Record<"tiny" | "ssd", Timing>>;
  readonly rssMb: number;
  readonly backend: string;
}

interface Tensor {
  readonly dispose: () => void;
}
interface FaceApi {
  readonly tf: {
    readonly setBackend: (name: string) => Promise<boolean>;
    readonly ready: () => Promise<void>;
    readonly tensor3d: (data: Uint8Array, shape: readonly number[], type: "int32") => Tensor;
  };
  readonly nets: Readonly<
    Record<string, { readonly loadFromDisk: (path: string) => Promise<void> }>
  >;
  readonly TinyFaceDetectorOptions: new (options: { inputSize: number }) => object;
  readonly SsdMobilenetv1Options: new (options: { minConfidence: number }) => object;
  readonly detectAllFaces: (
    input: Tensor,
    options: object,
  ) => {
    readonly withFaceLandmarks: () => {
      readonly withFaceDescriptors: () => Promise<readonly unknown[]>;
    };
  };
}

const [file, width, height, rounds] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: peer.ts RGB_FILE WIDTH HEIGHT ROUNDS");

const packageDirectory = dirname(require.resolve("@vladmandic/face-api/package.json"));
const wasm = require("@tensorflow/tfjs-backend-wasm") as {
  readonly setWasmPaths: (directory: string) => void;
  readonly setThreadsCount: (count: number) => void;
};
wasm.setWasmPaths(
  `${dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`,
);
wasm.setThreadsCount(2);
const faceApi = require(join(packageDirectory, "dist/face-api.node-wasm.js")) as FaceApi;
await faceApi.tf.setBackend("wasm");
await faceApi.tf.ready();
for (const net of [
  "tinyFaceDetector",
  "ssdMobilenetv1",
  "faceLandmark68Net",
  "faceRecognitionNet",
]) {
  await faceApi.nets[net]?.loadFromDisk(join(packageDirectory, "model"));
}

const input = faceApi.tf.tensor3d(
  new Uint8Array(readFileSync(file)),
  [Number(height), Number(width), 3],
  "int32",
);
const tiny = new faceApi.TinyFaceDetectorOptions({ inputSize: 416 });
const ssd = new faceApi.SsdMobilenetv1Options({ minConfidence: 0.5 });
const describe = (options: object) =>
  faceApi.detectAllFaces(input, options).withFaceLandmarks().withFaceDescriptors();
const faces = { tiny: (await describe(tiny)).length, ssd: (await describe(ssd)).length };
const timings = await race(
  { tiny: () => describe(tiny), ssd: () => describe(ssd) },
  Number(rounds),
  3,
);
const said: PeerFigures = { faces, timings, rssMb: rssMb(), backend: "wasm, SIMD, 2 threads" };
console.log(JSON.stringify(said));
