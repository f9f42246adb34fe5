import assert from "node:assert/strict";
import { test } from "node:test";
import { MatchOptions } from "../../src/match/options.ts";

test("an empty section gives the documented defaults and no floor", () => {
  assert.deepEqual(MatchOptions.parse({}), {
    fpirTarget: 0.001,
    marginMin: 0.05,
    extrapolateDecades: 1,
    candidates: 24,
  });
});

test("a misspelt key and a target of zero are refused", () => {
  assert.equal(MatchOptions.safeParse({ fpir: 0.1 }).success, false);
  assert.equal(MatchOptions.safeParse({ fpirTarget: 0 }).success, false);
});
