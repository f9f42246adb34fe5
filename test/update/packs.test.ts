import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { nameOf, Packs } from "../../src/update/packs.ts";
import { Scratch, sha256, type TinyPack, tinyPack, writePack } from "./support.ts";

const FACTORY = tinyPack({ counter: 1 });
/** Another embedder, the same detector. */
const NEW = tinyPack({ counter: 2, spaceId: "space-2" });

async function opened(scratch: Scratch): Promise<Packs> {
  const factory = writePack(scratch.at("factory"), FACTORY);
  return Packs.open({ directory: scratch.at("packs"), factory });
}

/** Fetches what is missing from the pack itself. @returns what was fetched */
async function fetched(packs: Packs, tiny: TinyPack): Promise<readonly string[]> {
  await packs.begin(tiny.manifest);
  const missing = await packs.missing(tiny.name.sha256, tiny.pack);
  for (const { name, into } of missing) writeFileSync(into, tiny.blobs.get(name) ?? "");
  return missing.map(({ name }) => name);
}

describe("packs on disk", () => {
  test("the factory pack is always there and needs no link", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    assert.deepEqual(nameOf(packs.factory), FACTORY.name);
    assert.equal(packs.read(undefined), packs.factory);
    assert.equal(packs.read(FACTORY.name), packs.factory);
    await packs.point(FACTORY.name, undefined);
    assert.deepEqual(readdirSync(scratch.at("packs")), []);
    await assert.rejects(
      Packs.open({ directory: scratch.at("packs"), factory: scratch.at("nowhere") }),
      { code: "pack_missing" },
    );
  });

  test("a staged pack is read-only, whole, and takes what other packs have", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    assert.deepEqual(await fetched(packs, NEW), ["embedder.onnx"]);
    assert.equal(await packs.isStaged(NEW.name.sha256), false);
    assert.equal(packs.read(NEW.name), undefined);
    await packs.stage(NEW.name.sha256);
    assert.deepEqual(packs.read(NEW.name)?.pack, NEW.pack);
    const directory = scratch.at("packs", NEW.name.sha256);
    for (const name of readdirSync(directory))
      assert.equal(statSync(join(directory, name)).mode & 0o777, 0o444, name);
    await packs.stage(NEW.name.sha256);
    assert.ok(await packs.isStaged(NEW.name.sha256));
  });

  test("the factory pack's own files are left as they are", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    const file = scratch.at("factory", "detector.onnx");
    const { mode } = statSync(file);
    await fetched(packs, NEW);
    await packs.stage(NEW.name.sha256);
    assert.equal(statSync(file).mode, mode);
  });

  test("what came before an end is gone on from; what is wrong is fetched again", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    await packs.begin(NEW.manifest);
    const at = (name: string): string => scratch.at("packs", `.tmp-${NEW.name.sha256}`, name);
    assert.equal((await packs.missing(NEW.name.sha256, NEW.pack)).length, 1);
    writeFileSync(at("embedder.onnx"), NEW.blobs.get("embedder.onnx") ?? "");
    writeFileSync(at("embedder.onnx.part"), "half of something");
    assert.deepEqual(await packs.missing(NEW.name.sha256, NEW.pack), []);
    truncateSync(at("embedder.onnx"), 5);
    assert.deepEqual(await fetched(packs, NEW), ["embedder.onnx"]);
    await packs.stage(NEW.name.sha256);
    const names = ["detector.onnx", "embedder.onnx", "pack.json"];
    assert.deepEqual(readdirSync(scratch.at("packs", NEW.name.sha256)).sort(), names);
  });

  test("what is not the file that the manifest names is not staged", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    await fetched(packs, NEW);
    writeFileSync(scratch.at("packs", `.tmp-${NEW.name.sha256}`, "embedder.onnx"), "another");
    await assert.rejects(packs.stage(NEW.name.sha256), { code: "pack_damaged" });
    assert.equal(packs.read(NEW.name), undefined);
    await assert.rejects(packs.stage("f".repeat(64)), { code: "pack_damaged" });
  });

  test("a torn manifest of a fetch is none, and is written again", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    await packs.begin(NEW.manifest);
    assert.deepEqual(packs.fetching(NEW.name.sha256), NEW.pack);
    truncateSync(scratch.at("packs", `.tmp-${NEW.name.sha256}`, "pack.json"), 100);
    assert.equal(packs.fetching(NEW.name.sha256), undefined);
    await packs.begin(NEW.manifest);
    assert.deepEqual(packs.fetching(NEW.name.sha256), NEW.pack);
  });

  test("one flipped bit makes an installed pack unusable, and staging replaces it", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    await fetched(packs, NEW);
    await packs.stage(NEW.name.sha256);
    const file = scratch.at("packs", NEW.name.sha256, "embedder.onnx");
    const bytes = readFileSync(file);
    bytes[17] = (bytes[17] ?? 0) ^ 1;
    chmodSync(file, 0o644);
    writeFileSync(file, bytes);
    assert.equal(packs.read(NEW.name), undefined);
    assert.deepEqual(await fetched(packs, NEW), ["embedder.onnx"]);
    await packs.stage(NEW.name.sha256);
    assert.deepEqual(packs.read(NEW.name)?.pack, NEW.pack);
  });

  test("links say what they are told, and packs that nobody names are removed", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    const other = tinyPack({ counter: 3, spaceId: "space-3" });
    for (const tiny of [NEW, other]) {
      await fetched(packs, tiny);
      await packs.stage(tiny.name.sha256);
    }
    await packs.begin(tinyPack({ counter: 4 }).manifest);
    await packs.point(other.name, NEW.name);
    assert.equal(readlinkSync(scratch.at("packs", "active")), other.name.sha256);
    assert.equal(readlinkSync(scratch.at("packs", "previous")), NEW.name.sha256);
    await packs.point(NEW.name, undefined);
    assert.equal(readlinkSync(scratch.at("packs", "active")), NEW.name.sha256);
    await packs.prune([NEW.name, undefined]);
    assert.deepEqual(readdirSync(scratch.at("packs")).sort(), [NEW.name.sha256, "active"].sort());
    assert.ok(existsSync(scratch.at("factory", "pack.json")));
  });

  test("a manifest that this version does not understand is refused", async () => {
    using scratch = new Scratch();
    const packs = await opened(scratch);
    const manifest = Buffer.from("{}");
    await packs.begin(manifest);
    assert.throws(() => packs.fetching(sha256(manifest)), { code: "pack_invalid" });
  });
});
