import assert from "node:assert/strict";
import { test } from "node:test";
import { Calibration } from "../../src/embedding/calibration.ts";

const table = {
  set: "made up",
  pairs: 1000,
  points: [
    { cosine: 0.2, fmr: 0.1 },
    { cosine: 0.4, fmr: 0.03 },
  ],
};
const group = { group: "a", pairs: 100, fmr: 0.06, supported: false };

test("a table may say what its pairs support and how groups fare, and need not", () => {
  const full = { ...table, smallestFmr: 0.03, nearDuplicates: 2, groups: [group] };
  assert.deepEqual(Calibration.parse(full), full);
  assert.deepEqual(Calibration.parse(table), table);
});

const broken: readonly [string, object][] = [
  ["a rate above 1", { groups: [{ ...group, fmr: 1.5 }] }],
  ["a group without a name", { groups: [{ ...group, group: "" }] }],
  ["a supported rate of zero", { smallestFmr: 0 }],
  ["an unknown field", { worst: "a" }],
];
for (const [name, change] of broken) {
  test(`${name} is refused`, () =>
    assert.equal(Calibration.safeParse({ ...table, ...change }).success, false));
}
