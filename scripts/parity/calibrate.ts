/**
 * Score table of a preset's embedder from pictures of different people, one per person:
 *
 *   scripts/node scripts/parity/calibrate.ts PACK_DIRECTORY PICTURES_ROOT > table.json
 *
 * PICTURES_ROOT/<person>/*.jpg; the first picture of each person, the face nearest to its centre, all
 * cross pairs. Only impostor pairs are used. Pairs that show the same photograph under two names are
 * left out: aligned crops, grey, 28×28, that differ by less than 10 grey levels on average.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cosineOf } from "../../src/lib/vector.ts";
import { calibrationOf, ScoreHistogram } from "../../src/match/score-table.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { Models } from "../../src/vision/models.ts";
import { COLOR_BGR2GRAY, INTER_AREA } from "../../src/vision/opencv.ts";

const SAME_PHOTOGRAPH = 10;
const SUSPECT_COSINE = 0.6;
const [directory = "", root = ""] = process.argv.slice(2);

await using models = await Models.open(directory, VisionOptions.parse({ providers: ["cpu"] }));
const people: { readonly vector: Float32Array; readonly thumb: Uint8Array }[] = [];
let without = 0;
const names = readdirSync(root).toSorted();
for (const name of names) {
  const file = readdirSync(join(root, name)).toSorted()[0];
  if (file === undefined) continue;
  const bytes = readFileSync(join(root, name, file));
  const { faces, widthPx, heightPx } = await models.analyse(bytes, 8);
  const off = ({ face }: (typeof faces)[number]): number =>
    Math.hypot(
      face.box.x + face.box.width / 2 - widthPx / 2,
      face.box.y + face.box.height / 2 - heightPx / 2,
    );
  const central = faces.toSorted((a, b) => off(a) - off(b))[0];
  const aligned =
    central === undefined ? undefined : models.align(models.image(bytes), central.face.landmarks);
  if (central?.embedding === undefined || aligned === undefined) without += 1;
  else
    people.push({
      vector: central.embedding,
      thumb: aligned.crop.cvtColor(COLOR_BGR2GRAY).resize(28, 28, 0, 0, INTER_AREA).getData(),
    });
}

const impostor = new ScoreHistogram();
let same = 0;
for (const [i, a] of people.entries()) {
  for (let j = 0; j < i; j += 1) {
    const b = people[j] as (typeof people)[number];
    const cosine = cosineOf(a.vector, b.vector);
    if (cosine > SUSPECT_COSINE && difference(a.thumb, b.thumb) < SAME_PHOTOGRAPH) same += 1;
    else impostor.add(cosine);
  }
}
const set = `LFW, one picture of each of ${people.length} people (150×150, ${without} without a face), all cross pairs, ${same} pairs of the same photograph left out; impostor pairs only`;
process.stdout.write(
  `${JSON.stringify(calibrationOf(set, impostor, new ScoreHistogram()), null, 2)}\n`,
);

function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (const [index, value] of a.entries()) sum += Math.abs(value - (b[index] as number));
  return sum / a.length;
}
