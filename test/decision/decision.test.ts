import assert from "node:assert/strict";
import { test } from "node:test";
import { DENY_REASONS, GRANT_REASONS } from "../../src/decision/decision.ts";

test("reasons are machine-readable, unique, and never both grant and deny", () => {
  const all = [...GRANT_REASONS, ...DENY_REASONS];
  assert.equal(new Set<string>(all).size, all.length);
  for (const reason of all) assert.match(reason, /^[a-z]+(_[a-z]+)*$/);
});
