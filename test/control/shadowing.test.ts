import assert from "node:assert/strict";
import { test } from "node:test";
import { runShadow, type ShadowingDeps, type Side } from "../../src/control/shadowing.ts";
import type { Candidate, Gallery } from "../../src/gallery/index-port.ts";
import type { CameraId, Cosine, IdentityId, SpaceId, TemplateId } from "../../src/lib/brand.ts";
import { cosineOf } from "../../src/lib/vector.ts";
import { MatchOptions } from "../../src/match/options.ts";
import type { SampleMessage, ShadowLook } from "../../src/observation/messages.ts";
import type { ShadowStats } from "../../src/release/report.ts";
import { ShadowOptions } from "../../src/release/shadow.ts";
import { SimulatedClock } from "../support/clock.ts";

const [OLD, NEW] = ["old" as SpaceId, "new" as SpaceId];
const box = { x: 0, y: 0, width: 50, height: 50 };
const unit = (index: number): Float32Array<ArrayBuffer> => {
  const vector = new Float32Array(16);
  vector[index] = 1;
  return vector;
};
const look = (spaceId: SpaceId, embedding: Float32Array<ArrayBuffer>): ShadowLook => ({
  spaceId,
  faces: [{ box, reasons: [], embedding }],
  totalMs: 5,
});
const sample = (embedding: Float32Array<ArrayBuffer>, shed = 0, spaceId = OLD): SampleMessage => ({
  kind: "sample",
  frame: { cameraId: "front" as CameraId, widthPx: 2, heightPx: 2, pixels: new Uint8Array(6) },
  look: look(spaceId, embedding),
  shed,
});

/** Refuses a query that was not made in its space: the first number of each space's vectors differs. */
function side(spaceId: SpaceId, people: Readonly<Record<string, Float32Array>>): Side {
  const gallery: Gallery = {
    spaceId,
    dimension: 16,
    identityCount: Object.keys(people).length,
    templateCount: Object.keys(people).length,
    search: async (vector, k) =>
      Object.entries(people)
        .map(
          ([id, own]): Candidate => ({
            identityId: id as IdentityId,
            templateId: id as TemplateId,
            cosine: cosineOf(vector, own),
          }),
        )
        .toSorted((a, b) => b.cosine - a.cosine)
        .slice(0, k),
  };
  return { gallery, threshold: { kind: "threshold", cosine: 0.5 as Cosine, source: "floor" } };
}

function rig(change: Partial<ShadowingDeps> = {}) {
  const clock = new SimulatedClock();
  let deliver: ((message: SampleMessage) => void) | undefined;
  const progress: ShadowStats[] = [];
  const stop = new AbortController();
  const deps: ShadowingDeps = {
    clock,
    options: ShadowOptions.parse({ framesMin: 2, comparedMin: 2, durationMinMs: 0 }),
    match: () => MatchOptions.parse({}),
    active: () => side(OLD, { ann: unit(1), ben: unit(2) }),
    candidate: () => side(NEW, { ann: unit(11), ben: unit(12) }),
    isCovered: () => true,
    look: async () => look(NEW, unit(11)),
    samples: (onSample) => {
      deliver = onSample;
      return () => {
        deliver = undefined;
      };
    },
    ...change,
  };
  const ended = runShadow(deps, (stats) => progress.push(stats), stop.signal);
  ended.catch(() => undefined);
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  const give = async (...messages: SampleMessage[]): Promise<void> => {
    for (const message of messages) deliver?.(message);
    await turn();
  };
  return { clock, ended, give, progress, stop, isListening: () => deliver !== undefined };
}

test("each look is compared with the gallery of its own space, and what agrees passes", async () => {
  const { ended, give, progress, isListening } = rig();
  await give(sample(unit(1)));
  await give(sample(unit(1)));
  const stats = await ended;
  assert.deepEqual([stats.frames, stats.compared, stats.identityAgreement], [2, 2, 1]);
  assert.equal(progress.length, 2);
  assert.equal(isListening(), false);
});

test("a candidate that says somebody else fails", async () => {
  const { ended, give } = rig({ look: async () => look(NEW, unit(12)) });
  await give(sample(unit(1)));
  await give(sample(unit(1)));
  await assert.rejects(ended, { code: "shadow_identities" });
});

test("a look in another space than its gallery is never compared", async () => {
  const before = rig();
  await before.give(sample(unit(1), 0, NEW));
  await before.give(sample(unit(1), 0, NEW));
  assert.equal(before.progress.at(-1)?.frames, 0);
  before.stop.abort();
  await assert.rejects(before.ended, { code: "aborted" });

  const after = rig({ look: async () => look(OLD, unit(1)) });
  await after.give(sample(unit(1)));
  await assert.rejects(after.ended, { code: "wrong_space" });
});

test("frames that come while one is looked at are shed and counted, as are those of the source", async () => {
  let finish: (seen: ShadowLook) => void = () => undefined;
  const { give, progress, stop } = rig({
    look: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  await give(sample(unit(1), 3));
  await give(sample(unit(1), 3), sample(unit(1), 4));
  finish(look(NEW, unit(11)));
  await give();
  await give();
  assert.deepEqual([progress.at(-1)?.frames, progress.at(-1)?.shed], [1, 3 + 1 + 2]);
  stop.abort();
});

test("who is not in the candidate's space is not held against it", async () => {
  const { give, progress, stop } = rig({
    isCovered: (id) => id !== "ann",
    look: async () => look(NEW, unit(5)),
  });
  await give(sample(unit(1)));
  assert.deepEqual([progress.at(-1)?.frames, progress.at(-1)?.compared], [1, 0]);
  stop.abort();
});

test("time passes without frames, and an abort ends it", async () => {
  const late = rig({
    options: ShadowOptions.parse({ durationMinMs: 0, durationMaxMs: 2000 }),
  });
  await late.clock.advance(3000);
  await assert.rejects(late.ended, { code: "shadow_too_few" });
  const ended = rig();
  ended.stop.abort();
  await assert.rejects(ended.ended, { code: "aborted" });
});
