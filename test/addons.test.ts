/** Every native addon loads under the Node that we ship and does one small real thing. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { bundledPack } from "./support/pack.ts";

const require = createRequire(import.meta.url);

test("runs under the Node 24 of the checkout, not the system's", () => {
  assert.match(process.version, /^v24\./);
  assert.match(process.execPath, /node_modules\/node-linux-(?:x64|arm64)\/bin\/node$/);
});

test("OpenCV converts, scales, aligns and encodes", () => {
  const entry = require.resolve("opencv4nodejs");
  const cv = require(join(dirname(entry), "../../build/Release/opencv4nodejs.node"));
  assert.ok(cv.version.major === 4 && cv.version.minor >= 5, JSON.stringify(cv.version));

  const nv12 = new cv.Mat(Buffer.alloc(64 * 48 * 1.5, 128), 72, 64, cv.CV_8UC1);
  const bgr = nv12.cvtColor(cv.COLOR_YUV2BGR_NV12);
  assert.deepEqual([bgr.rows, bgr.cols, bgr.channels], [48, 64, 3]);
  assert.ok(
    bgr
      .resize(24, 32)
      .getData()
      .every((value: number) => Math.abs(value - 130) <= 2),
  );

  const points = [
    [10, 10],
    [30, 10],
    [20, 30],
  ];
  const from = points.map(([x, y]) => new cv.Point2(x, y));
  const to = points.map(([x = 0, y = 0]) => new cv.Point2(2 * x + 5, 2 * y - 3));
  const { out } = cv.estimateAffinePartial2D(from, to);
  assert.ok(Math.abs(out.at(0, 0) - 2) < 1e-6 && Math.abs(out.at(0, 2) - 5) < 1e-6);
  const warped = bgr.warpAffine(out, new cv.Size(112, 112));
  assert.deepEqual(cv.imdecode(cv.imencode(".png", warped)).getData(), warped.getData());
});

test("HNSW finds the nearest vector", async () => {
  const { default: hnswlib } = await import("hnswlib-node");
  const index = new hnswlib.HierarchicalNSW("cosine", 3);
  index.initIndex(2);
  index.addPoint([1, 0, 0], 7);
  index.addPoint([0, 1, 0], 8);
  assert.deepEqual(index.searchKnn([0.9, 0.1, 0], 1).neighbors, [7]);
});

test("usearch finds the nearest vector", () => {
  const { Index } = require("usearch");
  const index = new Index({ metric: "cos", dimensions: 3 });
  index.add(7n, new Float32Array([1, 0, 0]));
  index.add(8n, new Float32Array([0, 1, 0]));
  assert.deepEqual([...index.search(new Float32Array([0.9, 0.1, 0]), 1).keys], [7n]);
});

test("SQLite keeps what a transaction wrote", () => {
  using database = new DatabaseSync(":memory:");
  database.exec("create table t (a blob) strict");
  database.prepare("insert into t values (?)").run(new Uint8Array([1, 2, 3]));
  assert.deepEqual(database.prepare("select a from t").get()?.["a"], new Uint8Array([1, 2, 3]));
});

test("ONNX Runtime embeds a crop", async () => {
  const { InferenceSession, Tensor, listSupportedBackends } = await import("onnxruntime-node");
  assert.ok(listSupportedBackends().some((backend) => backend.name === "cpu"));
  const { directory, pack } = bundledPack();
  const { file, input, output, dimension, preprocessing } = pack.embedder;
  const session = await InferenceSession.create(join(directory, file), { intraOpNumThreads: 1 });
  const { widthPx, heightPx } = preprocessing;
  const pixels = new Float32Array(3 * heightPx * widthPx);
  const crop = new Tensor("float32", pixels, [1, 3, heightPx, widthPx]);
  const embedding = (await session.run({ [input]: crop }))[output];
  assert.ok(embedding?.data instanceof Float32Array);
  assert.deepEqual(embedding.dims, [1, dimension]);
  assert.ok(embedding.data.every(Number.isFinite));
  await session.release();
});
