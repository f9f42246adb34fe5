import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Calibration } from "../../src/embedding/calibration.ts";
import { bundledPack } from "../support/pack.ts";
import { noPortrait, portraitFile } from "./portrait.ts";
import { cli } from "./support.ts";

const ffmpeg = (...args: readonly string[]): void =>
  void execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", "-y", ...args]);

describe("pictures through a pack", { skip: noPortrait }, () => {
  const portrait = portraitFile() ?? "";
  let [directory, pack] = ["", ""];
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-inspect-"));
    pack = bundledPack().directory;
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("inspects a portrait: one face where it is, good enough to enrol, and its aligned crop", async () => {
    const crop = join(directory, "crop.png");
    const run = await cli(["inspect", portrait, "--pack", pack, "--crop-out", crop, "--json"]);
    assert.equal(run.exit, 0, run.error);
    const said = JSON.parse(run.out);
    assert.deepEqual(
      [said.schema, said.widthPx, said.heightPx, said.faces.length, said.crop],
      [1, 512, 512, 1, crop],
    );
    const [face] = said.faces;
    const [right, left] = face.landmarks;
    assert.ok(
      face.score > 0.8 &&
        face.box.x > 150 &&
        face.box.x < 210 &&
        face.box.width > 60 &&
        face.box.width < 130,
    );
    assert.ok(right.x < left.x && Math.abs(right.y - left.y) < 15, "the eyes lie side by side");
    assert.deepEqual(face.quality.reasons, []);
    const png = readFileSync(crop);
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [112, 112]);
  });

  it("says that nobody is there, and refuses what is no picture", async () => {
    const blank = join(directory, "blank.png");
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=320x240", "-frames:v", "1", blank);
    assert.deepEqual(await cli(["inspect", blank, "--pack", pack]), {
      exit: 0,
      out: "No face.\n",
      error: "",
    });
    assert.equal(
      (await cli(["inspect", blank, "--pack", pack, "--crop-out", join(directory, "x.png")])).exit,
      3,
    );
    assert.match(
      (await cli(["inspect", "package.json", "--pack", pack])).error,
      /neither JPEG nor PNG/,
    );
    assert.equal((await cli(["inspect", join(directory, "absent.png"), "--pack", pack])).exit, 3);
  });

  it("evaluates pairs, and counts a picture without a face as never accepted", async () => {
    const root = join(directory, "lfw");
    for (const name of ["Eileen", "Nobody"]) mkdirSync(join(root, name), { recursive: true });
    ffmpeg("-i", portrait, join(root, "Eileen/Eileen_0001.jpg"));
    ffmpeg("-i", portrait, "-vf", "scale=300:300", join(root, "Eileen/Eileen_0002.jpg"));
    ffmpeg(
      "-f",
      "lavfi",
      "-i",
      "color=gray:s=320x240",
      "-frames:v",
      "1",
      join(root, "Nobody/Nobody_0001.jpg"),
    );
    const pairs = join(directory, "pairs.txt");
    writeFileSync(pairs, "1\t1\nEileen\t1\t2\nEileen\t1\tNobody\t1\n");
    const run = await cli([
      "evaluate",
      "verification",
      "--pack",
      pack,
      "--root",
      root,
      "--pairs",
      pairs,
      "--json",
    ]);
    assert.equal(run.exit, 0, run.error);
    const said = JSON.parse(run.out);
    assert.deepEqual(said.failuresToAcquire, {
      pictures: 1,
      byReason: { no_face: 1 },
      pairs: { same: 0, different: 1 },
    });
    assert.equal(said.accuracy.mean, 1);
    assert.match(
      (
        await cli([
          "evaluate",
          "verification",
          "--pack",
          pack,
          "--root",
          directory,
          "--pairs",
          pairs,
        ])
      ).error,
      /holds none of the pictures/,
    );
  });

  it("calibrates on crops, by group, and says what the pairs support", async () => {
    const crops = join(directory, "drawn");
    mkdirSync(crops);
    // Sixty pictures of nobody: what counts is the arithmetic.
    const zoom = "mandelbrot=size=112x112:rate=60:maxiter=64";
    ffmpeg("-f", "lavfi", "-i", zoom, "-frames:v", "60", join(crops, "%d.png"));
    const labels = join(directory, "labels.csv");
    const rows = Array.from(
      { length: 60 },
      (_, at) => `x/${at + 1}.jpg,${at % 2 ? "odd" : "even"}`,
    );
    writeFileSync(labels, ["file,parity", ...rows].join("\n"));
    const out = join(directory, "table.json");
    const words = ["--set", "a fractal", "--out", out, "--json"];
    const group = ["--labels", labels, "--group", "parity"];
    const run = await cli([
      "evaluate",
      "calibration",
      "--pack",
      pack,
      "--crops",
      crops,
      ...group,
      ...words,
    ]);
    assert.equal(run.exit, 0, run.error);
    const said = JSON.parse(run.out);
    assert.deepEqual([said.people, said.pictures, said.failuresToAcquire], [60, 60, {}]);
    const { calibration } = said;
    assert.equal(calibration.pairs + calibration.nearDuplicates, (60 * 59) / 2);
    assert.equal(said.smallestFmr, 30 / calibration.pairs);
    assert.deepEqual(
      calibration.groups.map(({ group: name }: { group: string }) => name).toSorted(),
      ["parity: even", "parity: odd", "set: drawn"],
    );
    assert.deepEqual(Calibration.parse(JSON.parse(readFileSync(out, "utf8"))), calibration);
    const none = await cli(["evaluate", "calibration", "--pack", pack, ...words]);
    assert.deepEqual([none.exit, /give --root, --crops or both/.test(none.error)], [2, true]);
  });

  it("times the face step beside the bare runs", async () => {
    const run = await cli(["bench", "--pack", pack, "--image", portrait, "--runs", "5", "--json"]);
    const said = JSON.parse(run.out);
    assert.equal(said.faceFound, true);
    assert.ok(
      said.timings.length >= 5 &&
        said.timings.every((timing: { p50Ms: number }) => timing.p50Ms > 0),
    );
  });
});
