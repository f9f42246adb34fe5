/** A pack made by the training package in Python is one for the daemon, and gives torch's embeddings. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { cosineOf } from "../../src/lib/vector.ts";
import { parsePairs } from "../../src/match/verification.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";
import { asBuffer, IMREAD_COLOR } from "../../src/vision/opencv.ts";
import { cli } from "../cli/support.ts";
import { LFW_TAR, SHARED, withoutModels } from "../support/models.ts";
import { referencePack } from "../support/pack.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const TRAINING = join(ROOT, "scripts/training");
const missing = existsSync(PYTHON) ? false : `SKIPPED: no ${PYTHON}; run scripts/setup.sh`;
const python = (args: readonly string[]): string =>
  execFileSync(PYTHON, args, {
    env: { ...process.env, PYTHONPATH: join(TRAINING, "src"), OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
const options = VisionOptions.parse({ providers: ["cpu"], threads: 1 });

describe("a pack made in Python", { skip: missing }, () => {
  let directory = "";
  let pack = "";

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-training-"));
    pack = join(directory, "pack");
    python([join(TRAINING, "tests/make_toy_pack.py"), directory]);
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

/** The first 10 pairs of either kind of LFW's folds 1 and 2, and their pictures. */
function lfwSubset(directory: string): string {
  const [head = "", ...lines] = readFileSync(`${SHARED}/data/lfw/pairs.txt`, "utf8")
    .trim()
    .split("\n");
  const perKind = Number(head.split(/\s+/)[1]);
  const starts = [0, 1, 2, 3].map((block) => block * perKind);
  const chosen = starts.flatMap((start) => lines.slice(start, start + 10));
  const file = join(directory, "pairs.txt");
  writeFileSync(file, `2\t10\n${chosen.join("\n")}\n`);
  const pairs = parsePairs(readFileSync(file, "utf8"));
  assert.ok(typeof pairs !== "string");
  const members = pairs
    .flatMap(({ first, second }) => [first, second])
    .map(({ name, number }) => `images/${name}/${name}_${String(number).padStart(4, "0")}.jpg`);
  execFileSync("tar", ["xf", LFW_TAR, "-C", directory, ...new Set(members)]);
  return file;
}

const without =
  missing || withoutModels() || (existsSync(LFW_TAR) ? false : `SKIPPED: no ${LFW_TAR}`);

describe("a verification set in both languages", { skip: without }, () => {
  test("has the same accuracy, thresholds and rates", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ostiary-verification-"));
    try {
      const pairs = lfwSubset(directory);
      const { directory: pack } = referencePack();
      const command = ["evaluate", "verification", "--pack", pack, "--pairs", pairs];
      const run = await cli([...command, "--root", join(directory, "images"), "--json"]);
      assert.equal(run.exit, 0, run.error);
      const theirs = JSON.parse(run.out);
      const out = join(directory, "report");
      const more = ["--pictures", LFW_TAR, "--flip", "no", "--replicas", "20", "--far", "0.001"];
      python(["-m", "facetrain", ...command, ...more, "--name", "LFW subset", "--out", out]);
      const ours = JSON.parse(readFileSync(join(out, "verification.json"), "utf8"));
      assert.deepEqual(ours.failures, theirs.failuresToAcquire.byReason);
      assert.equal(ours.pictures, theirs.pictures);
      const { report } = ours.variants[0];
      assert.equal(report.mean, theirs.accuracy.mean);
      assert.equal(report.std, theirs.accuracy.std);
      assert.equal(report.tar_at_far[0].tar, theirs.tarAtFar[0].tar);
      // Cosines agree to what two builds of one runtime and two JPEG decoders leave open.
      for (const [index, fold] of report.folds.entries())
        assert.ok(Math.abs(fold.threshold - theirs.folds[index].threshold) < 2e-3);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
