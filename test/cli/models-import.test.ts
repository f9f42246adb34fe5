import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { Pack } from "../../src/embedding/pack.ts";
import { cli } from "./support.ts";

const models = join(resolve(process.env["OSTIARY_SHARED"] ?? "../shared"), "data/models");
const detector = join(models, "face_detection_yunet_2023mar.onnx");
const embedder = join(models, "face-reidentification-retail-0095.onnx");
const skip = existsSync(detector) ? false : `NO MODELS: set OSTIARY_SHARED (looked in ${models})`;

describe("models import", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-import-"));
  });
  after(async () => rm(directory, { recursive: true, force: true }));

  const run = (out: string, extra: readonly string[] = [], file = embedder) =>
    cli([
      "models",
      "import",
      "--detector",
      detector,
      "--embedder",
      file,
      "--preset",
      "retail-0095",
      "--out",
      join(directory, out),
      ...extra,
    ]);

  it("refuses a file with another checksum and leaves nothing behind", { skip }, async () => {
    const wrong = join(directory, "wrong.onnx");
    const bytes = await readFile(embedder);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await writeFile(wrong, bytes);
    const refusal = await run("wrong", [], wrong);
    assert.equal(refusal.exit, 3);
    assert.match(refusal.error, /has sha256 [0-9a-f]{64}, preset "retail-0095" wants 982feceb/);
    assert.equal(existsSync(join(directory, "wrong")), false);
  });

  it("builds a pack that passes the schema, with the given score table, and never overwrites one", {
    skip,
  }, async () => {
    const table = {
      set: "made up",
      pairs: 1000,
      points: [
        { cosine: 0.2, fmr: 0.1 },
        { cosine: 0.4, fmr: 0.03 },
      ],
    };
    await writeFile(join(directory, "table.json"), JSON.stringify(table));
    const first = await run("good", ["--calibration", join(directory, "table.json"), "--json"]);
    assert.equal(first.exit, 0, first.error);
    const pack = Pack.parse(JSON.parse(await readFile(join(directory, "good/pack.json"), "utf8")));
    assert.deepEqual(pack.calibration, table);
    assert.deepEqual(JSON.parse(first.out), {
      schema: 1,
      id: "good",
      directory: join(directory, "good"),
      spaceId: pack.embedder.spaceId,
      calibrated: true,
      demoOnly: true,
    });
    assert.match((await run("good")).error, /exists already/);
  });

  it("refuses a score table that is none", { skip }, async () => {
    await writeFile(join(directory, "bad.json"), "{}");
    const refusal = await run("bad", ["--calibration", join(directory, "bad.json")]);
    assert.equal(refusal.exit, 3);
    assert.match(refusal.error, /is no score table/);
  });
});
