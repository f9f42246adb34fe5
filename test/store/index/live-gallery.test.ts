import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { GalleryChange, StoredTemplate } from "../../../src/gallery/record.ts";
import type { IdentityId, SpaceId, TemplateId } from "../../../src/lib/brand.ts";
import { LiveGallery } from "../../../src/store/index/live-gallery.ts";
import type { LiveGalleryOptions } from "../../../src/store/index/live-gallery-types.ts";
import { SimulatedClock } from "../../support/clock.ts";
import { RecordingLog } from "../../support/log.ts";
import { idOf, now, person, StoreDirectory, seeded, space, unitVector } from "../support.ts";

const DIMENSION = 32;
const random = seeded(21);
const log = new RecordingLog();

function templateOf(identity: string, number = 0, spaceId: SpaceId = space): StoredTemplate {
  return {
    id: `${identity}-${number}` as TemplateId,
    identityId: identity as IdentityId,
    spaceId,
    vector: unitVector(random, DIMENSION),
  };
}

async function open(
  templates: readonly StoredTemplate[],
  more: Partial<LiveGalleryOptions> = {},
  clock = new SimulatedClock(),
) {
  const listeners = new Set<(change: GalleryChange) => void>();
  const gallery = await LiveGallery.open(
    { spaceId: space, dimension: DIMENSION, ...more },
    {
      record: { templates: () => templates },
      changes: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      clock,
      log,
    },
  );
  return {
    gallery,
    clock,
    tell: (change: GalleryChange) => listeners.forEach((listener) => void listener(change)),
  };
}

/** Waits for something that other threads do: bounded, and it says what it waited for. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.fail(`never came: ${what}`);
}

const people = (count: number, each = 1): StoredTemplate[] =>
  Array.from({ length: count * each }, (_, index) =>
    templateOf(`p${Math.floor(index / each)}`, index % each),
  );

describe("live gallery", () => {
  test("an empty one answers with nothing, and refuses a query that is no unit vector", async () => {
    const { gallery } = await open([]);
    await using _ = gallery;
    assert.deepEqual(await gallery.search(unitVector(random, DIMENSION), 3), []);
    await assert.rejects(gallery.search(new Float32Array(DIMENSION).fill(Number.NaN), 3), {
      code: "invalid_query",
    });
  });

  for (const [name, count, more] of [
    ["inline", 300, {}],
    ["in the exact thread", 1500, { inlineFloats: 0 }],
    ["in HNSW", 1500, { exactBelow: 1000 }],
  ] as const) {
    test(`${name}: finds people, takes additions at once, never names the erased`, async () => {
      const templates = people(count);
      const { gallery, tell } = await open(templates, more);
      await using _ = gallery;
      if ("exactBelow" in more)
        await until("the first generation", () => gallery.stats().generation === 1);
      assert.equal(gallery.stats().kind, "exactBelow" in more ? "hnsw" : "exact");
      const p7 = templates[7] as StoredTemplate;
      assert.equal((await gallery.search(p7.vector, 5))[0]?.identityId, "p7");
      const fresh = templateOf("fresh");
      tell({ kind: "templates-added", templates: [fresh] });
      const found = await gallery.search(fresh.vector, 5);
      assert.equal(found[0]?.templateId, "fresh-0");
      assert.ok(Math.abs((found[0]?.cosine ?? 0) - 1) < 1e-6);
      assert.equal(found.length, 5);
      const inFlight = gallery.search(p7.vector, 5);
      tell({ kind: "identity-erased", identityId: idOf("p7") });
      const afterwards = gallery.search(p7.vector, 5);
      // What is scanned inline is answered before the erase begins.
      const lists = name === "inline" ? [await afterwards] : [await inFlight, await afterwards];
      for (const list of lists) assert.ok(list.every((candidate) => candidate.identityId !== "p7"));
      assert.equal(gallery.identityCount, count);
      assert.equal(gallery.stats().fallbacks <= 1, true);
    });
  }

  test("a slot that is used again belongs to its new owner only", async () => {
    const { gallery, tell } = await open(people(1500), { inlineFloats: 0 });
    await using _ = gallery;
    for (let round = 0; round < 20; round += 1) {
      tell({ kind: "identity-erased", identityId: idOf(`p${round}`) });
      const fresh = templateOf(`n${round}`);
      tell({ kind: "templates-added", templates: [fresh] });
      assert.equal((await gallery.search(fresh.vector, 1))[0]?.identityId, `n${round}`);
    }
    assert.equal(gallery.templateCount, 1500);
  });

  test("additions and erasures while a generation is built are in it", async () => {
    const templates = people(3000);
    const { gallery, tell } = await open(templates, { exactBelow: 1000 });
    await using _ = gallery;
    assert.equal(gallery.stats().building, true);
    const fresh = Array.from({ length: 50 }, (_, index) => templateOf(`n${index}`));
    for (const [index, template] of fresh.entries()) {
      tell({ kind: "templates-added", templates: [template] });
      tell({ kind: "identity-erased", identityId: idOf(`p${index * 50}`) });
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(gallery.stats().kind, "exact", "exact serves meanwhile");
    await until("the generation", () => gallery.stats().kind === "hnsw");
    for (const template of fresh)
      assert.equal((await gallery.search(template.vector, 1))[0]?.templateId, template.id);
    for (let index = 0; index < 50; index += 1) {
      const gone = templates[index * 50] as StoredTemplate;
      assert.notEqual((await gallery.search(gone.vector, 1))[0]?.identityId, gone.identityId);
    }
  });

  test("too many erased make a new generation; a small gallery goes back to exact", async () => {
    const { gallery, tell } = await open(people(2000), { exactBelow: 1000 });
    await using _ = gallery;
    await until("generation 1", () => gallery.stats().generation === 1);
    for (let index = 0; index < 500; index += 1)
      tell({ kind: "identity-erased", identityId: idOf(`p${index}`) });
    await until("generation 2", () => gallery.stats().generation === 2);
    assert.equal(gallery.stats().deleted < 500, true);
    for (let index = 500; index < 1300; index += 1)
      tell({ kind: "identity-erased", identityId: idOf(`p${index}`) });
    assert.equal(gallery.stats().kind, "exact");
    assert.equal(gallery.templateCount, 700);
  });

  test("sampled searches give a recall", async () => {
    const templates = people(1500);
    const { gallery } = await open(templates, { exactBelow: 1000, sampleEvery: 2 });
    await using _ = gallery;
    await until("the generation", () => gallery.stats().kind === "hnsw");
    await until("ten samples", async () => {
      await gallery.search((templates[5] as StoredTemplate).vector, 5);
      return gallery.stats().recallSamples >= 10;
    });
    assert.equal(gallery.stats().recall, 1);
  });

  test("low recall makes a new generation of a gallery that changed since the last, and of no other", async () => {
    // A graph too thin for random queries.
    const thin = { exactBelow: 1000, sampleEvery: 1, hnsw: { m: 8, efConstruction: 16 } };
    const { gallery, tell } = await open(people(4000), thin);
    await using _ = gallery;
    const sampled = (least: number) =>
      until(`${least} samples`, async () => {
        await gallery.search(unitVector(random, DIMENSION), 1);
        return gallery.stats().recallSamples >= least;
      });
    await until("generation 1", () => gallery.stats().generation === 1);
    await sampled(220);
    assert.ok((gallery.stats().recall ?? 1) < 0.99);
    assert.equal(gallery.stats().building, false, "the same vectors would build the same graph");
    tell({
      kind: "templates-added",
      templates: Array.from({ length: 300 }, (_, index) => templateOf(`late${index}`)),
    });
    await until("generation 2", () => gallery.stats().generation === 2);
  });

  test("templates of another space and vectors that are no unit vectors do not get in", async () => {
    const other = templateOf("alien", 0, "space-2" as SpaceId);
    const broken = {
      ...templateOf("broken"),
      vector: new Float32Array(DIMENSION).fill(Number.NaN),
    };
    const { gallery } = await open([other, broken, templateOf("ann")]);
    await using _ = gallery;
    assert.equal(gallery.templateCount, 1);
  });

  test("the same template told twice is one", async () => {
    const ann = templateOf("ann");
    const { gallery, tell } = await open([ann]);
    await using _ = gallery;
    tell({ kind: "templates-added", templates: [ann] });
    assert.equal(gallery.templateCount, 1);
  });

  test("a silent index does not hang a search", async () => {
    const templates = people(30_000);
    const clock = new SimulatedClock();
    const { gallery } = await open(templates, { exactBelow: 100_000, inlineFloats: 0 }, clock);
    await using _ = gallery;
    // Many questions at once keep the thread busy; the clock says that it took too long.
    const p3 = templates[3] as StoredTemplate;
    const searches = Array.from({ length: 40 }, () => gallery.search(p3.vector, 2));
    await clock.advance(1000);
    for (const found of await Promise.all(searches)) assert.equal(found[0]?.identityId, "p3");
    assert.ok(gallery.stats().fallbacks > 0);
  });

  test("a first generation waits until the start's rush is over; exact search serves meanwhile", async () => {
    const templates = people(120);
    const { gallery, clock } = await open(templates, { exactBelow: 50, settleMs: 5000 });
    await using _ = gallery;
    assert.deepEqual([gallery.stats().building, gallery.stats().kind], [false, "exact"]);
    const [best] = await gallery.search(templates[7]?.vector as Float32Array, 1);
    assert.equal(best?.identityId, templates[7]?.identityId);
    await clock.advance(5000);
    await until("a generation serves", () => gallery.stats().kind === "hnsw");
  });

  test("it follows a store: an erase by command is in force when the command returns", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const vectors = ["ann", "bob"].map((id) => {
      const vector = unitVector(random, DIMENSION);
      store.transact((tx) => {
        tx.putIdentity(person(id), now);
        tx.addTemplates(idOf(id), [{ spaceId: space, vector }], now);
      });
      return vector;
    });
    await using gallery = await LiveGallery.open(
      { spaceId: space, dimension: DIMENSION },
      { record: store.record, changes: store.onGalleryChange, clock: new SimulatedClock(), log },
    );
    assert.equal(gallery.identityCount, 2);
    const running = gallery.search(vectors[0] as Float32Array, 2);
    store.transact((tx) => tx.eraseIdentity(idOf("ann"), now));
    const [during, after] = [await running, await gallery.search(vectors[0] as Float32Array, 2)];
    assert.deepEqual(
      after.map((candidate) => candidate.identityId),
      ["bob"],
    );
    assert.ok(during.length <= 2);
  });
});
