/** The second look at a face as the training package takes it, by which its detector is measured. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { overlap } from "../../src/frame/geometry.ts";
import { letterbox } from "../../src/frame/letterbox.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";
import { withoutModels } from "../support/models.ts";
import { bundledPack } from "../support/pack.ts";
import { stillOf, THREE_PEOPLE, TURNING_HEAD } from "../support/people.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const missing =
  withoutModels() || (existsSync(PYTHON) ? false : `SKIPPED: no ${PYTHON}; run scripts/setup.sh`);
const DETECTOR_PX = 640;

interface Reference {
  readonly box: readonly [number, number, number, number];
  readonly first: readonly (readonly [number, number])[];
  /** Null when the second look does not find the face. */
  readonly both: readonly (readonly [number, number])[] | null;
}
type Points = readonly { readonly x: number; readonly y: number }[];

describe("the second look, in TypeScript and in Python", { skip: missing }, () => {
  let directory = "";
  const files: string[] = [];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-look-"));
    for (const [clip, seconds] of [
      [THREE_PEOPLE, 1],
      [THREE_PEOPLE, 3],
      [TURNING_HEAD, 0.5],
      [TURNING_HEAD, 1.5],
    ] as const) {
      const file = join(directory, `${files.length}.png`);
      writeFileSync(file, await stillOf(clip, seconds));
      files.push(file);
    }
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test("moves landmarks to the same places within a tenth of a pixel of the detector's input", async () => {
    const pack = join(directory, "pack");
    cpSync(bundledPack().directory, pack, { recursive: true });
    const about = structuredClone(bundledPack().pack);
    about.detector.landmarks = "two-looks";
    writeFileSync(join(pack, "pack.json"), JSON.stringify(about));
    await using models = await Models.open(
      pack,
      VisionOptions.parse({ providers: ["cpu"], threads: 1, detectorSizePx: DETECTOR_PX }),
    );
    const even = (side: number) => side - (side % 2);
    const pictures = files.map((file) => {
      const { widthPx, heightPx } = models.image(readFileSync(file));
      const { scaledWidthPx, scaledHeightPx } = letterbox(widthPx, heightPx, DETECTOR_PX);
      return { file, width: even(scaledWidthPx), height: even(scaledHeightPx), widthPx };
    });
    const reference = ask({
      detector: join(pack, about.detector.file),
      score_min: about.detector.scoreMin,
      pictures,
    });
    let faces = 0;
    for (const [index, { file, width, widthPx }] of pictures.entries()) {
      const picture = models.image(readFileSync(file));
      for (const face of await models.detect(picture)) {
        const theirs = reference[index]?.find(({ box: [x, y, w, h] }) => {
          return overlap(face.box, { x, y, width: w, height: h }) > 0.9;
        });
        assert.ok(theirs !== undefined, `${file}: a face is missing`);
        const both = await models.lookAgain(picture, face);
        if (both === undefined) {
          assert.equal(theirs.both, null, `${file}: found again by Python alone`);
          continue;
        }
        const [eye, other] = face.landmarks;
        const moved = furthest(both.landmarks, theirs.first);
        assert.ok(moved > 0 && moved < 0.3 * Math.hypot(eye.x - other.x, eye.y - other.y));
        const limit = (0.1 * widthPx) / width;
        assert.ok(furthest(face.landmarks, theirs.first) < limit, `${file}: first look`);
        assert.ok(furthest(both.landmarks, theirs.both ?? []) < limit, `${file}: both looks`);
        faces += 1;
      }
    }
    assert.ok(faces >= 6, `${faces} faces`);
  });
});

const furthest = (points: Points, others: readonly (readonly [number, number])[]): number =>
  Math.max(
    ...points.map(({ x, y }, at) =>
      Math.hypot(x - (others[at]?.[0] ?? Number.NaN), y - (others[at]?.[1] ?? Number.NaN)),
    ),
  );

function ask(request: object): readonly (readonly Reference[])[] {
  const answer = execFileSync(PYTHON, [join(ROOT, "scripts/parity/look.py")], {
    env: { ...process.env, PYTHONPATH: join(ROOT, "scripts/training/src"), OMP_NUM_THREADS: "1" },
    input: JSON.stringify(request),
    encoding: "utf8",
  });
  return JSON.parse(answer);
}
