import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createClock } from "../../src/system/clock.ts";
import { VisionLink } from "../../src/vision/link.ts";
import { RecordingLog } from "../support/log.ts";

const ENTRY = join(import.meta.dirname, "../support/vision/main.ts");

test("the vision process gets no secret, and its runtime reports to nobody", async () => {
  process.env["OSTIARY_TEST_SECRET"] = "hush";
  const nothing = (): void => undefined;
  const link = new VisionLink(
    {
      entry: ENTRY,
      listener: { onObserve: nothing, onHealth: nothing, onStreamHeader: nothing },
    },
    { clock: createClock(), log: new RecordingLog() },
  );
  try {
    const variables = readFileSync(`/proc/${link.pid}/environ`, "utf8").split("\0");
    assert.ok(variables.includes("ORT_DISABLE_TELEMETRY=1"));
    assert.ok(!variables.some((variable) => variable.startsWith("OSTIARY_TEST_SECRET")));
  } finally {
    delete process.env["OSTIARY_TEST_SECRET"];
    link.kill();
    await link.ended;
  }
});
