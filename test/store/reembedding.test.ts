/** Templates of another space from the kept crops: a real store, vectors that are made up. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SpaceId } from "../../src/lib/brand.ts";
import type { Pending } from "../../src/store/reembedding.ts";
import type { Store } from "../../src/store/store.ts";
import { idOf, now, person, StoreDirectory, seeded, space, unitVector } from "./support.ts";

const OTHER = "space-2" as SpaceId;
const THIRD = "space-3" as SpaceId;
const random = seeded(11);
const crop = () => ({
  png: Uint8Array.from({ length: 500 }, () => Math.floor(random() * 256)),
  landmarks: [{ x: 1, y: 2 }],
});

function enrol(store: Store, id: string, count: number, options = { crops: true }): void {
  store.transact((tx) => {
    tx.putIdentity(person(id), now);
    const shots = Array.from({ length: count }, () => ({
      spaceId: space,
      vector: unitVector(random),
      ...(options.crops ? { sourceCrop: crop() } : {}),
    }));
    tx.addTemplates(idOf(id), shots, now);
  });
}

const cropsOf = (pending: Pending | undefined) =>
  pending?.kind === "crops" ? pending.crops.map(({ templateId }) => templateId) : [];
const embedded = (store: Store, id: string, to = OTHER) => ({
  identityId: idOf(id),
  templates: cropsOf(store.reembedding.pending(to, idOf(id))).map((template) => ({
    id: template,
    vector: unitVector(random),
  })),
});
const idsIn = (store: Store, of: SpaceId) =>
  [...store.record.templates(of)].map(({ identityId, id }) => `${identityId} ${id}`);

describe("re-embedding", () => {
  test("a page names what is missing, in order of id; a template keeps the id of its crop", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ben", 2);
    enrol(store, "ann", 1);
    enrol(store, "cat", 1, { crops: false });
    const page = store.reembedding.page(OTHER, undefined, 2);
    assert.deepEqual(
      page.map(({ identityId }) => identityId),
      ["ann", "ben"],
    );
    assert.equal(store.reembedding.pending(OTHER, idOf("cat")).kind, "without-crops");
    store.addReembedded(OTHER, [embedded(store, "ann"), embedded(store, "ben")], idOf("ben"), now);
    assert.deepEqual(
      idsIn(store, OTHER),
      idsIn(store, space).filter((key) => !key.startsWith("cat")),
    );
    assert.deepEqual(
      [store.reembedding.cursor(OTHER), store.reembedding.counts(idOf("ben"))],
      ["ben", { done: 2, total: 3 }],
    );
    assert.deepEqual(cropsOf(store.reembedding.pending(OTHER, idOf("ben"))), []);
    enrol(store, "dan", 1);
    assert.deepEqual(store.reembedding.short(OTHER), ["dan"]);
    assert.deepEqual(store.reembedding.behind(OTHER, idOf("ann"), 9), {
      ids: ["dan"],
      last: "dan",
    });
    assert.deepEqual(store.reembedding.behind(OTHER, idOf("dan"), 9), { ids: [], last: undefined });
    assert.equal(store.reembedding.short(THIRD).length, 3);
    assert.deepEqual(store.reembedding.missing(space, OTHER), ["cat", "dan"]);
    assert.ok(store.check().ok);
  });

  test("rows come once, survive, and the cursor only moves on", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      enrol(store, "ann", 2);
      const entry = embedded(store, "ann");
      assert.equal(store.addReembedded(OTHER, [entry], idOf("m"), now).length, 2);
      assert.equal(store.addReembedded(OTHER, [entry], idOf("b"), now).length, 0);
    }
    using store = directory.open();
    assert.equal(idsIn(store, OTHER).length, 2);
    assert.equal(store.reembedding.cursor(OTHER), "m");
  });

  test("who was erased meanwhile gets nothing, also when the id is somebody else's by then", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ann", 2);
    const entry = embedded(store, "ann");
    store.transact((tx) => tx.eraseIdentity(idOf("ann"), now));
    assert.equal(store.addReembedded(OTHER, [entry], undefined, now).length, 0);
    enrol(store, "ann", 1);
    assert.equal(store.addReembedded(OTHER, [entry], undefined, now).length, 0);
    assert.equal(store.record.templateCount(idOf("ann"), OTHER), 0);
    assert.ok(store.check().ok);
  });

  test("an erase takes every space with it", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ann", 1);
    store.addReembedded(OTHER, [embedded(store, "ann")], undefined, now);
    store.transact((tx) => tx.eraseIdentity(idOf("ann"), now));
    assert.deepEqual([idsIn(store, space), idsIn(store, OTHER)], [[], []]);
  });

  test("an enrolment may say two spaces at once; listeners hear of each template in its space", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    const heard: string[] = [];
    store.onGalleryChange((change) => {
      if (change.kind === "templates-added")
        heard.push(...change.templates.map(({ spaceId }) => spaceId));
    });
    store.transact((tx) => {
      tx.putIdentity(person("ann"), now);
      const others = [{ spaceId: OTHER, vector: unitVector(random, 32) }];
      const shot = { spaceId: space, vector: unitVector(random), others, sourceCrop: crop() };
      tx.addTemplates(idOf("ann"), [shot], now);
    });
    assert.deepEqual(heard.toSorted(), [space, OTHER]);
    assert.deepEqual(idsIn(store, space), idsIn(store, OTHER));
    assert.deepEqual(cropsOf(store.reembedding.pending(OTHER, idOf("ann"))), []);
    assert.equal(cropsOf(store.reembedding.pending(THIRD, idOf("ann"))).length, 1);
    assert.ok(store.check().ok);
  });

  test("spaces that no pack needs go from the files; their crops stay, and fill the next", () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ann", 1);
    store.addReembedded(OTHER, [embedded(store, "ann")], idOf("ann"), now);
    store.retainSpaces([OTHER]);
    assert.deepEqual([idsIn(store, space).length, idsIn(store, OTHER).length], [0, 1]);
    assert.equal(store.reembedding.cursor(OTHER), "ann");
    assert.equal(
      store.addReembedded(THIRD, [embedded(store, "ann", THIRD)], idOf("ann"), now).length,
      1,
    );
    store.retainSpaces([THIRD]);
    assert.equal(store.reembedding.cursor(OTHER), undefined);
    assert.ok(store.check().ok);
  });
});
