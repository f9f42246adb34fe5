import assert from "node:assert/strict";
import { test } from "node:test";
import type { PackId } from "../../src/lib/brand.ts";
import {
  blobPathOf,
  desiredPathOf,
  Sha256,
  TargetCustom,
  targetPathOf,
} from "../../src/release/repository.ts";

const SHA = "ab".repeat(32);

test("where a pack, a blob and a desired state lie in a repository", () => {
  assert.equal(targetPathOf("entrance-7" as PackId), "packs/entrance-7/pack.json");
  assert.equal(blobPathOf(SHA), `blobs/${SHA}`);
  assert.equal(desiredPathOf("hq/north-door"), "desired/hq/north-door.json");
});

test("a sha256 is 64 hex digits in lower case, so that it names one file and no other", () => {
  assert.ok(Sha256.safeParse(SHA).success);
  for (const wrong of [SHA.toUpperCase(), SHA.slice(1), `${SHA}0`, `../${SHA.slice(3)}`])
    assert.ok(!Sha256.safeParse(wrong).success, wrong);
});

test("a target says for which hardware it is, and nothing unknown", () => {
  const custom = {
    kind: "pack",
    packId: "entrance-7",
    releaseCounter: 7,
    spaceId: "first.1",
    hardware: ["arm64"],
    minimumRuntime: "0.1.0",
    bytes: 5_000_000,
  };
  assert.ok(TargetCustom.safeParse(custom).success);
  assert.ok(!TargetCustom.safeParse({ ...custom, hardware: [] }).success);
  assert.ok(!TargetCustom.safeParse({ ...custom, hardware: ["mips"] }).success);
  assert.ok(!TargetCustom.safeParse({ ...custom, extra: 1 }).success);
});
