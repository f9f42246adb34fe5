import assert from "node:assert/strict";
import { test } from "node:test";
import { cosine, epochMs, monotonicMs } from "../../src/lib/brand.ts";

test("a brand changes the type and never the value", () => {
  assert.deepEqual([epochMs(1), monotonicMs(2), cosine(-0.5)], [1, 2, -0.5]);
});
