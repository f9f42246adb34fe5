import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, Fault, messageOf } from "../../src/lib/fault.ts";

test("a fault carries its code, retry and cause", () => {
  const cause = new Error("disk");
  const fault = new Fault("store_full", "the store is full: free space", { retry: "later", cause });
  assert.ok(fault instanceof Error);
  assert.deepEqual(
    [fault.code, fault.retry, fault.cause, fault.message],
    ["store_full", "later", cause, "the store is full: free space"],
  );
  const plain = new Fault("x", "y");
  assert.equal(plain.retry, "never");
  assert.equal("cause" in plain, false);
});

test("codes of anything thrown", () => {
  assert.equal(codeOf(new Fault("gone", "")), "gone");
  assert.equal(codeOf(Object.assign(new Error("no file"), { code: "ENOENT" })), "ENOENT");
  for (const thrown of [new Error("x"), "x", undefined, null, 3, { code: 7 }])
    assert.equal(codeOf(thrown), "internal");
});

test("messages of anything thrown", () => {
  assert.equal(messageOf(new Error("broken")), "broken");
  assert.equal(messageOf("text"), "text");
  assert.equal(messageOf(undefined), "undefined");
});
