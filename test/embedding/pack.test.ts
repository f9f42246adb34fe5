import assert from "node:assert/strict";
import { test } from "node:test";
import { Pack } from "../../src/embedding/pack.ts";
import { DETECTOR_PRESETS, EMBEDDER_PRESETS } from "../../src/embedding/presets.ts";

const pack = {
  schema: 1,
  id: "p",
  releaseCounter: 0,
  files: [{ name: "a.onnx", sha256: "0".repeat(64), bytes: 1 }],
  detector: { ...DETECTOR_PRESETS[0]?.spec, file: "a.onnx" },
  embedder: { ...EMBEDDER_PRESETS[0]?.spec, file: "a.onnx" },
  golden: {
    vectors: [{ cropPng: "", embedding: new Array(16).fill(0.25) }],
    cosineMin: { cpu: 1, cuda: 1, tensorrt: 1 },
  },
  provenance: { source: "s", licence: "l" },
};

test("a pack without calibration is one, and is for more than the demo unless it says so", () => {
  const parsed = Pack.parse(pack);
  assert.deepEqual([parsed.calibration, parsed.demoOnly], [undefined, false]);
});

const broken: readonly [string, object][] = [
  ["another schema", { schema: 2 }],
  ["a file outside its directory", { files: [{ ...pack.files[0], name: "../a.onnx" }] }],
  ["a short checksum", { files: [{ ...pack.files[0], sha256: "00" }] }],
  ["no golden vectors", { golden: { ...pack.golden, vectors: [] } }],
  ["an unknown field", { threshold: 0.4 }],
  [
    "a standard deviation of zero",
    {
      embedder: {
        ...pack.embedder,
        preprocessing: { ...EMBEDDER_PRESETS[0]?.spec.preprocessing, std: [0, 1, 1] },
      },
    },
  ],
];
for (const [name, change] of broken) {
  test(`${name} is refused`, () =>
    assert.equal(Pack.safeParse({ ...pack, ...change }).success, false));
}
