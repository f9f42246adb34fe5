import assert from "node:assert/strict";
import { test } from "node:test";
import { Calibration } from "../../src/embedding/calibration.ts";
import {
  crossCalibration,
  crossScores,
  detailOf,
  isSamePhotograph,
  type Portrait,
  THUMBNAIL_PX,
} from "../../src/match/cross-pairs.ts";
import { ScoreHistogram } from "../../src/match/score-table.ts";

const thumbnail = (level: number): Uint8Array =>
  new Uint8Array(THUMBNAIL_PX * THUMBNAIL_PX).fill(level);

/** Somebody at an angle, in radians; two people's cosine is that of their angles' difference. */
const somebody = (angle: number, change: Partial<Portrait> = {}): Portrait => ({
  vector: new Float32Array([Math.cos(angle), Math.sin(angle)]),
  thumbnail: thumbnail(Math.round(angle * 80)),
  set: "a",
  groups: [],
  ...change,
});

test("everybody is compared with everybody else of the set, and within each group", () => {
  const groups = ["x"];
  const people = [
    somebody(0, { groups }),
    somebody(1),
    somebody(2, { groups: ["y", "x"] }),
    somebody(0.5, { set: "b", groups }),
    somebody(1.5, { set: "b" }),
  ];
  const rows: number[] = [];
  const { impostor, byGroup, nearDuplicates } = crossScores(people, (done) => rows.push(done));
  assert.equal(impostor.total, 3 + 1);
  assert.deepEqual(
    [...byGroup].map(([name, { total }]) => [name, total]),
    [
      ["x", 1],
      ["y", 0],
    ],
  );
  assert.equal(impostor.shareFrom(Math.cos(1) - 1e-4), 3 / 4);
  assert.equal(nearDuplicates, 0);
  assert.deepEqual(rows, [1, 2, 3, 4, 5]);
});

/** Texture of its own for each number, as pictures of different people have it. */
const texture = (seed: number, change: (value: number, at: number) => number = (value) => value) =>
  Uint8Array.from({ length: THUMBNAIL_PX * THUMBNAIL_PX }, (_, at) =>
    change(60 + (((at * 7919 + seed * 104_729 + at * at * (seed + 3)) >> 3) % 120), at),
  );

test("a copy of a photograph is left out, in other light and encoded again too; a double is not", () => {
  const first = somebody(0, { thumbnail: texture(1) });
  const removed = (thumbnail: Uint8Array): number =>
    crossScores([first, somebody(0.01, { thumbnail })]).nearDuplicates;
  assert.equal(removed(texture(1)), 1);
  assert.equal(removed(texture(1, (value, at) => value * 0.7 + (at % THUMBNAIL_PX) * 2)), 1);
  assert.equal(removed(texture(1, (value, at) => value + ((at * 31) % 7) - 3)), 1);
  assert.equal(removed(texture(2)), 0);
  // Without detail nothing says that they are one.
  assert.equal(removed(thumbnail(100)), 0);
  const flat = detailOf(thumbnail(9));
  assert.ok(!isSamePhotograph(flat, flat));
});

test("a calibration says what its pairs support, and how groups fare at one threshold", () => {
  // Group "near" sits in a tenth of the circle that the others share.
  const people = Array.from({ length: 300 }, (_, index) => {
    const near = index % 3 === 0;
    return somebody((near ? 0.2 : 2) * Math.PI * ((index * 0.618) % 1), {
      thumbnail: texture(index),
      groups: [near ? "near" : "spread"],
    });
  });
  const scores = crossScores(people);
  const table = crossCalibration("a circle", scores, new ScoreHistogram());
  assert.ok(table !== undefined);
  Calibration.parse(table);
  assert.equal(table.smallestFmr, 30 / scores.impostor.total);
  assert.equal(table.nearDuplicates, scores.nearDuplicates);
  const [worst, other] = table.groups ?? [];
  assert.deepEqual([worst?.group, worst?.supported, other?.group], ["near", true, "spread"]);
  assert.ok(worst !== undefined && other !== undefined && worst.fmr > 3 * other.fmr);
  const at = table.points.find(({ cosine }) => cosine === worst.cosine);
  assert.ok(at !== undefined && at.fmr * Math.min(worst.pairs, other.pairs) >= 30);
});

test("too few people give no calibration", () => {
  const scores = crossScores([somebody(0), somebody(1)]);
  assert.equal(crossCalibration("two", scores, new ScoreHistogram()), undefined);
});
