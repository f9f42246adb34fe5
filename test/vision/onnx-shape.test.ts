import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { codeOf } from "../../src/lib/fault.ts";
import { withDynamicInput } from "../../src/vision/onnx-shape.ts";
import { loadRuntime } from "../../src/vision/session.ts";
import { withoutModels, YUNET } from "../support/models.ts";

test("YuNet runs at 640×384 and gives at 640×640 what the file gave", {
  skip: withoutModels(),
}, async () => {
  const runtime = loadRuntime();
  const original = readFileSync(YUNET);
  const free = withDynamicInput(original);
  const input = new runtime.Tensor(
    "float32",
    Float32Array.from({ length: 3 * 640 * 640 }, (_, i) => (i * 7919) % 255),
    [1, 3, 640, 640],
  );
  const [before, after] = await Promise.all(
    [original, free].map(async (model) =>
      (await runtime.InferenceSession.create(model)).run({ input }),
    ),
  );
  for (const [name, tensor] of Object.entries(before ?? {}))
    assert.deepEqual(after?.[name]?.data, tensor.data, name);
  const session = await runtime.InferenceSession.create(free);
  const wide = await session.run({
    input: new runtime.Tensor("float32", new Float32Array(3 * 640 * 384), [1, 3, 384, 640]),
  });
  assert.deepEqual(wide["cls_8"]?.dims, [1, 48 * 80, 1]);
  assert.deepEqual(Buffer.from(withDynamicInput(free)), Buffer.from(free));
});

test("bytes that are no model are refused with a code, never with anything else", {
  skip: withoutModels(),
}, () => {
  const model = readFileSync(YUNET);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        withDynamicInput(bytes);
        assert.fail("accepted");
      } catch (thrown) {
        assert.equal(codeOf(thrown), "model_invalid");
      }
    }),
  );
  assert.throws(() => withDynamicInput(model.subarray(0, model.length - 1000)), {
    code: "model_invalid",
  });
});
