import assert from "node:assert/strict";
import { test } from "node:test";
import { IdentityFields } from "../../src/gallery/identity.ts";

const accepts = (value: unknown): boolean => IdentityFields.safeParse(value).success;
const somebody = { id: "p-1", displayName: "Somebody" };

test("an identity needs an id and a name; the rest has safe defaults", () => {
  const fields = IdentityFields.parse(somebody);
  assert.deepEqual(fields, { ...somebody, groups: [], enabled: true, metadata: {} });
});

test("times are RFC 3339 with a zone", () => {
  assert.equal(
    IdentityFields.parse({ ...somebody, validFrom: "2026-01-05T09:00:00+01:00" }).validFrom,
    Date.UTC(2026, 0, 5, 8),
  );
  assert.equal(accepts({ ...somebody, validFrom: "2026-01-05 09:00" }), false);
  assert.equal(accepts({ ...somebody, validFrom: "2026-01-05T09:00:00" }), false);
});

test("ids that could be topic levels with a meaning, paths or options are refused", () => {
  for (const id of ["", "a/b", "+", "#", "../x", ".hidden", "-rf", "a b", "a\0b", "x".repeat(65)]) {
    assert.equal(accepts({ ...somebody, id }), false, JSON.stringify(id));
  }
});

test("unknown keys and unbounded content are refused", () => {
  assert.equal(accepts({ ...somebody, admin: true }), false);
  assert.equal(accepts({ ...somebody, displayName: "x".repeat(201) }), false);
  assert.equal(
    accepts({ ...somebody, groups: Array.from({ length: 65 }, (_, index) => `g${index}`) }),
    false,
  );
  assert.equal(accepts({ ...somebody, metadata: { note: "x".repeat(501) } }), false);
  const entries = Array.from({ length: 33 }, (_, index) => [`k${index}`, "v"]);
  assert.equal(accepts({ ...somebody, metadata: Object.fromEntries(entries) }), false);
});
