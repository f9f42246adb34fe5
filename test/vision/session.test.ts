import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "../../src/lib/fault.ts";
import { chooseProvider } from "../../src/vision/session.ts";

const failing =
  (...bad: string[]) =>
  async (provider: string) => {
    if (bad.includes(provider)) throw new Error(`no ${provider} here\nand more`);
    return provider;
  };

test("the first that works serves, the others are named with their reasons", async () => {
  assert.deepEqual(
    await chooseProvider(["tensorrt", "cuda", "cpu"], undefined, failing("tensorrt")),
    {
      provider: "cuda",
      value: "cuda",
      refused: [{ provider: "tensorrt", reason: "no tensorrt here" }],
    },
  );
});

test("a required provider is the only one tried", async () => {
  await assert.rejects(chooseProvider(["cuda", "cpu"], "cuda", failing("cuda")), {
    code: "provider_unavailable",
  });
});

test("a pack that is wrong everywhere is named as wrong, not the providers", async () => {
  const mismatch = async () => {
    throw new Fault("golden_mismatch", "no");
  };
  await assert.rejects(chooseProvider(["cpu"], undefined, mismatch), { code: "golden_mismatch" });
});
