import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARCFACE_112 } from "../../src/face/align.ts";
import type { Face } from "../../src/face/face.ts";
import type { CapturedAt } from "../../src/frame/frame.ts";
import { epochMs, monotonicMs } from "../../src/lib/brand.ts";
import { LIVE_MAX, noTracks, remember, step, type Tracks } from "../../src/track/step.ts";

const LOST_MS = 1500;
const at = (ms: number): CapturedAt => ({
  monotonicMs: monotonicMs(ms),
  epochMs: epochMs(1e12 + ms),
});
const face = (x: number, y = 0): Face => ({
  box: { x, y, width: 40, height: 40 },
  landmarks: ARCFACE_112,
  score: 0.9,
});
const run = (
  frames: readonly (readonly [number, readonly Face[]])[],
  start: Tracks = noTracks("p"),
) =>
  frames.reduce<ReturnType<typeof step>>(
    (state, [ms, faces]) => step(state.tracks, faces, at(ms), LOST_MS),
    { tracks: start, ofFaces: [], ended: [] },
  );

test("a walking face keeps its track", () => {
  const { ofFaces, tracks } = run(
    Array.from({ length: 20 }, (_, i) => [i * 100, [face(i * 12)]] as const),
  );
  assert.deepEqual(ofFaces, ["p-1"]);
  assert.equal(tracks.live[0]?.hits, 20);
});

test("motion carries a track over missed frames", () => {
  const walk = Array.from({ length: 6 }, (_, i) => [i * 100, [face(i * 30)]] as const);
  // Four frames later it is 120 px further: three widths from where it was seen last.
  assert.deepEqual(run([...walk, [600, []], [700, []], [800, []], [900, [face(270)]]]).ofFaces, [
    "p-1",
  ]);
});

test("two people who pass each other keep their tracks", () => {
  const frames = Array.from(
    { length: 21 },
    (_, i) => [i * 100, [face(i * 20, 0), face(400 - i * 20, 25)]] as const,
  );
  const { ofFaces } = run(frames);
  assert.deepEqual(ofFaces, ["p-1", "p-2"]);
});

test("a track ends once, when it was not seen for long enough", () => {
  const seen = run([[0, [face(0)]]]);
  const still = step(seen.tracks, [], at(LOST_MS - 1), LOST_MS);
  assert.deepEqual(still.ended, []);
  const ended = step(still.tracks, [], at(LOST_MS), LOST_MS);
  assert.deepEqual(ended.ended, ["p-1"]);
  assert.deepEqual(step(ended.tracks, [], at(LOST_MS + 1), LOST_MS).ended, []);
});

test("a face that stops looking like its track gets a new one, which starts from nothing", () => {
  const seen = run([[0, [face(0)]]]);
  const id = seen.ofFaces[0] as Parameters<typeof remember>[1];
  const first = remember(seen.tracks, id, Float32Array.from([1, 0]), 0.5, 0, 0.3);
  assert.deepEqual([first.id, first.ended], ["p-1", undefined]);
  const same = remember(first.tracks, id, Float32Array.from([0.8, 0.6]), 0.6, 100, 0.3);
  assert.equal(same.tracks.live[0]?.embedded, 2);
  const other = remember(same.tracks, id, Float32Array.from([-0.6, 0.8]), 0.6, 200, 0.3);
  assert.deepEqual([other.id, other.ended], ["p-2", "p-1"]);
  assert.equal(other.tracks.live.length, 1);
  assert.equal(other.tracks.live[0]?.embedded, 1);
});

test("a jump makes a track doubtful until it was embedded again", () => {
  const jumped = run([
    [0, [face(0)]],
    [100, [face(30)]],
  ]);
  assert.deepEqual([jumped.ofFaces, jumped.tracks.live[0]?.doubtful], [["p-1"], true]);
  const id = jumped.ofFaces[0] as Parameters<typeof remember>[1];
  assert.equal(
    remember(jumped.tracks, id, Float32Array.from([1, 0]), 0.5, 100, 0.3).tracks.live[0]?.doubtful,
    false,
  );
});

test("ids are never used twice, live tracks are bounded, every track ends at most once", () => {
  const frame = fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
      let tracks = noTracks("q");
      const ended: string[] = [];
      frames.forEach((xs, index) => {
        const stepped = step(
          tracks,
          xs.map((x) => face(x)),
          at(index * 400),
          LOST_MS,
        );
        assert.equal(new Set(stepped.ofFaces).size, xs.length);
        for (const id of stepped.ofFaces) assert.ok(!ended.includes(id));
        ended.push(...stepped.ended);
        assert.ok(stepped.tracks.live.length <= LIVE_MAX);
        tracks = stepped.tracks;
      });
      assert.equal(new Set(ended).size, ended.length);
    }),
    { numRuns: 50 },
  );
});
