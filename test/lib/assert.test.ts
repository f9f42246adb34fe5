import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure, assert as check, unreachable } from "../../src/lib/assert.ts";

test("throws on anything false, with the message", () => {
  check(1, "never said");
  for (const wrong of [false, 0, "", null, undefined, Number.NaN]) {
    assert.throws(
      () => check(wrong, "must hold"),
      (thrown) => thrown instanceof AssertionFailure && thrown.message === "must hold",
    );
  }
});

test("names the value that should not exist", () => {
  assert.throws(() => unreachable("odd" as never), /unreachable: odd/);
});
