import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { temperatureC } from "../../src/update/machine.ts";
import { Scratch } from "./support.ts";

test("the hottest zone counts; one that cannot be read does not", async () => {
  using scratch = new Scratch();
  for (const [name, text] of [
    ["thermal_zone0", "41000\n"],
    ["thermal_zone1", "67500\n"],
    ["thermal_zone2", ""],
    ["cooling_device0", "99000\n"],
  ] as const) {
    mkdirSync(scratch.at(name));
    writeFileSync(scratch.at(name, "temp"), text);
  }
  mkdirSync(scratch.at("thermal_zone3"));
  assert.equal(await temperatureC(scratch.path), 67.5);
});

test("where nothing measures it nothing is known", async () => {
  using scratch = new Scratch();
  assert.equal(await temperatureC(scratch.at("nowhere")), undefined);
});
