import assert from "node:assert/strict";
import { test } from "node:test";
import { DetectorSpec, EmbedderSpec } from "../../src/embedding/pack.ts";
import { DETECTOR_PRESETS, EMBEDDER_PRESETS } from "../../src/embedding/presets.ts";

test("presets are valid specs with names, checksums and spaces of their own", () => {
  for (const preset of DETECTOR_PRESETS)
    DetectorSpec.parse({ ...preset.spec, file: "detector.onnx" });
  for (const preset of EMBEDDER_PRESETS)
    EmbedderSpec.parse({ ...preset.spec, file: "embedder.onnx" });
  const all = [...DETECTOR_PRESETS, ...EMBEDDER_PRESETS];
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  assert.equal(new Set(all.map(({ sha256 }) => sha256)).size, all.length);
  for (const { sha256 } of all) assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.equal(
    new Set(EMBEDDER_PRESETS.map(({ spec }) => spec.spaceId)).size,
    EMBEDDER_PRESETS.length,
  );
});
