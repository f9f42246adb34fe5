import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { DecisionOptions } from "../../src/decision/options.ts";

test("defaults hold the house rules", () => {
  const options = DecisionOptions.parse({});
  assert.equal(options.framesMin, 3);
  assert.equal(options.requireTrustedClock, true);
  assert.ok(options.agreeingShareMin > 0.5);
});

test("one frame is never enough, half is no majority, and limits must fit each other", () => {
  const complaint = (input: unknown) => {
    const parsed = DecisionOptions.safeParse(input);
    return parsed.success
      ? "fine"
      : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join();
  };
  assert.match(complaint({ framesMin: 1 }), /framesMin/);
  assert.match(complaint({ agreeingShareMin: 0.5 }), /agreeingShareMin/);
  assert.match(
    complaint({ unknownAfterFrames: 3, framesMin: 4 }),
    /unknownAfterFrames: must be at least framesMin/,
  );
  assert.match(
    complaint({ windowFramesMax: 4 }),
    /windowFramesMax: must be at least unknownAfterFrames/,
  );
  assert.match(complaint({ cooldown: 3 }), /cooldown/);
  assert.equal(complaint({ framesMin: 5 }), "fine");
});

test("every field explains itself", () => {
  const { properties = {} } = z.toJSONSchema(DecisionOptions, { io: "input" });
  for (const [name, schema] of Object.entries(properties)) {
    assert.ok(typeof schema === "object" && schema.description !== undefined, name);
  }
});
