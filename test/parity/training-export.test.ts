/** A pack made by the training package in Python is one for the daemon, and gives torch's embeddings. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { cosineOf } from "../../src/lib/vector.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";
import { asBuffer, IMREAD_COLOR } from "../../src/vision/opencv.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const TRAINING = join(ROOT, "scripts/training");
const missing = existsSync(PYTHON) ? false : `SKIPPED: no ${PYTHON}; run scripts/setup.sh`;
const options = VisionOptions.parse({ providers: ["cpu"], threads: 1 });

describe("a pack made in Python", { skip: missing }, () => {
  let directory = "";
  let pack = "";

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-training-"));
    pack = join(directory, "pack");
    execFileSync(PYTHON, [join(TRAINING, "tests/make_toy_pack.py"), directory], {
      env: { ...process.env, PYTHONPATH: join(TRAINING, "src"), OMP_NUM_THREADS: "1" },
      stdio: ["ignore", "ignore", "inherit"],
    });
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test("loads, keeps its golden vectors and gives what torch gives without folding", async () => {
    await using models = await Models.open(pack, options);
    assert.equal(models.pack.embedder.dimension, 32);
    const expected = JSON.parse(readFileSync(join(directory, "expected.json"), "utf8")) as {
      cropPng: string;
      embedding: number[];
    }[];
    assert.equal(expected.length, 3);
    for (const { cropPng, embedding } of expected) {
      const crop = models.cv.imdecode(asBuffer(Buffer.from(cropPng, "base64")), IMREAD_COLOR);
      const found = await models.embed(crop);
      assert.ok(found !== undefined);
      for (const [index, value] of embedding.entries())
        assert.ok(Math.abs(value - (found[index] as number)) < 1e-5, `dimension ${index}`);
      assert.ok(cosineOf(found, Float32Array.from(embedding)) > 0.999999);
    }
  });

  for (const file of ["embedder.onnx", "detector.onnx"]) {
    test(`is refused after one byte of its ${file} flips`, async () => {
      const broken = join(directory, `broken-${file}`);
      cpSync(pack, broken, { recursive: true });
      const bytes = readFileSync(join(broken, file));
      const middle = Math.floor(bytes.length / 2);
      bytes[middle] = (bytes[middle] as number) ^ 1;
      writeFileSync(join(broken, file), bytes);
      await assert.rejects(Models.open(broken, options), { code: "pack_corrupt" });
    });
  }

  test("is refused when a golden vector is another's", async () => {
    const broken = join(directory, "broken-golden");
    cpSync(pack, broken, { recursive: true });
    const about = JSON.parse(readFileSync(join(broken, "pack.json"), "utf8"));
    about.golden.vectors[0].embedding.reverse();
    writeFileSync(join(broken, "pack.json"), JSON.stringify(about));
    await assert.rejects(Models.open(broken, options), { code: "golden_mismatch" });
  });
});
