import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { EnrolmentOptions } from "../../src/enrolment/options.ts";

test("defaults, and shots that fit the cap", () => {
  const options = EnrolmentOptions.parse({});
  assert.deepEqual(
    [
      options.shots,
      options.templatesPerIdentityMax,
      options.keepSourceCrops,
      options.duplicateCheck,
    ],
    [5, 8, true, true],
  );
  const wrong = EnrolmentOptions.safeParse({ shots: 6, templatesPerIdentityMax: 5 });
  assert.match(wrong.error?.issues[0]?.message ?? "", /must not exceed templatesPerIdentityMax/);
});

test("every field explains itself", () => {
  const { properties = {} } = z.toJSONSchema(EnrolmentOptions, { io: "input" });
  for (const [name, schema] of Object.entries(properties)) {
    assert.ok(typeof schema === "object" && schema.description !== undefined, name);
  }
});
