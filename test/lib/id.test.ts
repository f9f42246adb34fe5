import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CameraIdSchema,
  DeviceId,
  DoorIdSchema,
  GroupName,
  IdentityIdSchema,
  PackIdSchema,
  SiteId,
  SpaceIdSchema,
  TemplateIdSchema,
  TrackIdSchema,
} from "../../src/lib/id.ts";

const schemas = [
  SiteId,
  DeviceId,
  GroupName,
  CameraIdSchema,
  DoorIdSchema,
  IdentityIdSchema,
  PackIdSchema,
  SpaceIdSchema,
  TemplateIdSchema,
  TrackIdSchema,
];

test("accepts what is safe in topics, file names and shells", () => {
  for (const schema of schemas) {
    for (const id of ["a", "front-door", "cam.1", "A_9", "x".repeat(64)])
      assert.equal(schema.parse(id), id);
  }
});

test("refuses what would mean something there", () => {
  const bad = [
    "",
    ".",
    "..",
    ".hidden",
    "-rf",
    "_x",
    "a/b",
    "a+b",
    "#",
    "a b",
    "a\u0000",
    "a\n",
    "ü",
    "x".repeat(65),
    "$SYS",
    "a'b",
    '"',
    "__proto__",
  ];
  for (const schema of schemas) {
    for (const id of bad) assert.equal(schema.safeParse(id).success, false, JSON.stringify(id));
  }
});
