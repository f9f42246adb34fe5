import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "../../src/lib/json.ts";

test("what is JSON is parsed, what is none is undefined", () => {
  assert.deepEqual(parseJson('{"a":[1,null]}'), { a: [1, null] });
  assert.equal(parseJson("null"), null);
  for (const text of ["", "{", "undefined", '{"a":1}x']) assert.equal(parseJson(text), undefined);
});
