/** Detection, alignment and embedding against OpenCV's FaceDetectorYN, numpy's SVD and Python's ONNX Runtime. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Face } from "../../src/face/face.ts";
import { letterbox, toInputPoint } from "../../src/frame/letterbox.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";
import { CLIPS, LFW_TAR, RETAIL_0095, withoutModels, YUNET } from "../support/models.ts";
import { referencePack } from "../support/pack.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const missing =
  withoutModels() ||
  (existsSync(PYTHON) && existsSync(LFW_TAR) ? false : `SKIPPED: no ${PYTHON} or no ${LFW_TAR}`);
const DETECTOR_PX = 640;

interface ReferenceFace {
  readonly box: readonly number[];
  readonly landmarks: readonly (readonly [number, number])[];
  readonly score: number;
  readonly crop: string;
  readonly embedding: readonly number[];
}

interface Picture {
  readonly file: string;
  /** Size at which the detector sees it. */
  readonly width: number;
  readonly height: number;
}

/** LFW pictures, and frames of clips at sizes that are not square and not multiples of 32. */
function pictures(directory: string): readonly string[] {
  const names = execFileSync("tar", ["tf", LFW_TAR], { encoding: "utf8", maxBuffer: 2 ** 26 })
    .split("\n")
    .filter((name) => name.endsWith(".jpg"));
  const some = Array.from({ length: 12 }, (_, i) => names[(i * 613) % names.length] ?? "");
  execFileSync("tar", ["xf", LFW_TAR, "-C", directory, ...some]);
  const sizes = {
    "classroom.gif": "1280:720",
    "face-demographics-walking-and-pause.gif": "1000:562",
    "head-pose-face-detection-female.gif": "640:360",
  };
  for (const [clip, size] of Object.entries(sizes)) {
    execFileSync("ffmpeg", [
      "-v",
      "error",
      "-i",
      join(CLIPS, clip),
      "-vf",
      `select=not(mod(n\\,15)),scale=${size}`,
      "-fps_mode",
      "vfr",
      "-frames:v",
      "3",
      join(directory, `${clip}-%d.png`),
    ]);
  }
  const frames = readdirSync(directory).filter((name) => name.endsWith(".png"));
  return [...some, ...frames].map((name) => join(directory, name));
}

describe("parity with Python", { skip: missing }, () => {
  let models: Models;
  let directory: string;
  let wanted: readonly Picture[];
  let reference: readonly { readonly faces: readonly ReferenceFace[] }[];
  let found: readonly (readonly Face[])[];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-parity-"));
    models = await Models.open(
      referencePack().directory,
      VisionOptions.parse({ providers: ["cpu"], detectorSizePx: DETECTOR_PX }),
    );
    wanted = pictures(directory).map((file) => {
      const { widthPx, heightPx } = models.image(readFileSync(file));
      const even = (side: number) => side - (side % 2);
      const { scaledWidthPx, scaledHeightPx } = letterbox(widthPx, heightPx, DETECTOR_PX);
      return { file, width: even(scaledWidthPx), height: even(scaledHeightPx) };
    });
    const request = JSON.stringify({
      detector: YUNET,
      embedder: RETAIL_0095,
      crop_px: 128,
      pictures: wanted,
    });
    const answer = execFileSync(PYTHON, [join(ROOT, "scripts/parity/reference.py")], {
      input: request,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    reference = (JSON.parse(answer) as { pictures: typeof reference }).pictures;
    const all: (readonly Face[])[] = [];
    for (const { file } of wanted) all.push(await models.detect(models.image(readFileSync(file))));
    found = all;
  });
  after(async () => {
    await models[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  test("boxes and landmarks to 1 px of the detector's input, scores to 0.01, the same faces", () => {
    let faces = 0;
    let [worstPx, worstScore] = [0, 0];
    for (const [index, { file, width, height }] of wanted.entries()) {
      const picture = models.image(readFileSync(file));
      const scale = {
        ...letterbox(picture.widthPx, picture.heightPx, DETECTOR_PX),
        stepX: picture.widthPx / width,
        stepY: picture.heightPx / height,
      };
      const ours = (found[index] ?? []).toSorted((a, b) => b.score - a.score);
      const theirs = reference[index]?.faces ?? [];
      assert.equal(ours.length, theirs.length, file);
      for (const face of ours) {
        const numbers = [
          ...Object.values(toInputPoint(scale, face.box)),
          face.box.width / scale.stepX,
          face.box.height / scale.stepY,
          ...face.landmarks.flatMap((point) => Object.values(toInputPoint(scale, point))),
        ];
        const distances = theirs.map((other) =>
          Math.max(
            ...[...other.box, ...other.landmarks.flat()].map((value, i) =>
              Math.abs(value - (numbers[i] ?? 0)),
            ),
          ),
        );
        const nearest = Math.min(...distances);
        worstPx = Math.max(worstPx, nearest);
        worstScore = Math.max(
          worstScore,
          Math.abs((theirs[distances.indexOf(nearest)]?.score ?? 0) - face.score),
        );
        faces += 1;
      }
    }
    assert.ok(faces >= 20, `only ${faces} faces compared`);
    assert.ok(worstPx <= 1, `${worstPx} px`);
    assert.ok(worstScore <= 0.01, `score differs by ${worstScore}`);
  });

  test("aligned crops differ by at most 1 grey level on average; embeddings have cosine ≥ 0.9999", async () => {
    let [worstGrey, leastCosine] = [0, 1];
    for (const [index, { file, width, height }] of wanted.entries()) {
      const picture = models.image(readFileSync(file));
      const step = { x: picture.widthPx / width, y: picture.heightPx / height };
      for (const face of reference[index]?.faces ?? []) {
        const [a, b, c, d, e] = face.landmarks.map(([x, y]) => ({
          x: (x + 0.5) * step.x - 0.5,
          y: (y + 0.5) * step.y - 0.5,
        }));
        assert.ok(a && b && c && d && e);
        const aligned = models.align(picture, [a, b, c, d, e]);
        assert.ok(aligned !== undefined);
        const theirs = Buffer.from(face.crop, "base64");
        const ours = aligned.crop.getData();
        let sum = 0;
        for (const [i, value] of ours.entries()) sum += Math.abs(value - (theirs[i] ?? 0));
        worstGrey = Math.max(worstGrey, sum / ours.length);
        const vector = await models.embed(aligned.crop);
        assert.ok(vector !== undefined);
        leastCosine = Math.min(
          leastCosine,
          vector.reduce((total, value, i) => total + value * (face.embedding[i] ?? 0), 0),
        );
      }
    }
    assert.ok(worstGrey <= 1, `${worstGrey} grey levels`);
    assert.ok(leastCosine >= 0.9999, `cosine ${leastCosine}`);
  });

  test("an NV12 frame gives the same faces as the picture it was made from", async () => {
    for (const [index, { file }] of wanted.entries()) {
      if (!file.endsWith(".png")) continue;
      const picture = models.image(readFileSync(file));
      const { widthPx, heightPx } = picture;
      if (heightPx % 2 !== 0 || widthPx % 2 !== 0) continue;
      const nv12 = execFileSync(
        "ffmpeg",
        ["-v", "error", "-i", file, "-pix_fmt", "nv12", "-f", "rawvideo", "-"],
        { maxBuffer: 2 ** 26 },
      );
      const faces = await models.detect(models.nv12(nv12, widthPx, heightPx));
      for (const face of (found[index] ?? []).filter(({ score }) => score > 0.8)) {
        const off = faces.map((other) =>
          Math.max(
            ...face.landmarks.map((point, i) =>
              Math.hypot(
                point.x - (other.landmarks[i]?.x ?? 0),
                point.y - (other.landmarks[i]?.y ?? 0),
              ),
            ),
          ),
        );
        // Colour at half size and limited range move landmarks a little.
        assert.ok(
          Math.min(...off) < Math.max(2, face.box.width * 0.05),
          `${file}: ${Math.min(...off)}`,
        );
      }
    }
  });
});
