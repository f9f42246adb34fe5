import assert from "node:assert/strict";
import { test } from "node:test";
import { Calibration } from "../../src/embedding/calibration.ts";
import {
  MOBILEFACENET_CALIBRATION,
  RETAIL_0095_CALIBRATION,
} from "../../src/embedding/preset-calibrations.ts";

const tables = { retail: RETAIL_0095_CALIBRATION, mobilefacenet: MOBILEFACENET_CALIBRATION };

for (const [name, table] of Object.entries(tables)) {
  test(`${name}: rises in cosine, falls in FMR, stops at what its pairs support`, () => {
    Calibration.parse(table);
    for (const [index, point] of table.points.entries()) {
      const before = table.points[index - 1];
      if (before === undefined) continue;
      assert.ok(point.cosine > before.cosine && point.fmr < before.fmr);
    }
    // Rule of 30: about thirty pairs lie above the last threshold.
    const last = table.points.at(-1);
    assert.ok(last !== undefined && Math.round(last.fmr * table.pairs) >= 29);
  });
}
