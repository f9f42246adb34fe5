import assert from "node:assert/strict";
import { test } from "node:test";
import { labelsIn } from "../../src/cli/labels.ts";

const TABLE = "file,age,race\r\nval/1.jpg,20-29,East Asian\nval/2.jpg,more,Black\n\n";

test("labels by the picture's name, whatever its folder and format", () => {
  const labels = labelsIn(TABLE, ["race", "age"]);
  assert.ok(typeof labels !== "string");
  assert.deepEqual(
    [...labels],
    [
      ["1", ["race: East Asian", "age: 20-29"]],
      ["2", ["race: Black", "age: more"]],
    ],
  );
});

test("a column that is not there is named", () => {
  assert.match(String(labelsIn(TABLE, ["gender"])), /no column "gender" but file, age, race/);
  assert.match(String(labelsIn("picture,race\n", [])), /no column "file"/);
});
