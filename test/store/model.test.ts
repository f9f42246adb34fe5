/** The store against a model in memory, over restarts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { GalleryChange } from "../../src/gallery/record.ts";
import type { SpaceId } from "../../src/lib/brand.ts";
import type { Store } from "../../src/store/store.ts";
import { idOf, now, person, StoreDirectory, seeded, stamp, unitVector } from "./support.ts";

const SPACES = ["space-1", "space-2"] as SpaceId[];
const id = fc.constantFrom("ann", "bob", "cat", "dan");
const step = fc.oneof(
  fc.record({
    kind: fc.constant("put" as const),
    id,
    name: fc.string({ minLength: 1, maxLength: 20 }),
    groups: fc.subarray(["staff", "night"]),
  }),
  fc.record({
    kind: fc.constant("add" as const),
    id,
    space: fc.constantFrom(...SPACES),
    count: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant("enable" as const), id, enabled: fc.boolean() }),
  fc.record({ kind: fc.constant("erase" as const), id }),
  fc.record({ kind: fc.constant("fail" as const), id }),
  fc.record({ kind: fc.constant("reopen" as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

interface Person {
  name: string;
  groups: readonly string[];
  enabled: boolean;
  readonly vectors: Map<SpaceId, Float32Array[]>;
}

const LIMITS = { templatesMax: 6 };

test("after any commands and restarts the store holds what a model holds, and told its listeners so", () => {
  const random = seeded(5);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      using directory = new StoreDirectory();
      let store = directory.open(LIMITS);
      const model = new Map<string, Person>();
      let seq = 0;
      for (const each of steps) {
        if (each.kind === "reopen") {
          store[Symbol.dispose]();
          store = directory.open(LIMITS);
          continue;
        }
        seq += 1;
        const told: GalleryChange["kind"][] = [];
        const stop = store.onGalleryChange((change) => void told.push(change.kind));
        if (!run(store, model, each, seq, random)) assert.deepEqual(told, []);
        stop();
      }
      assertSame(store, model);
      store[Symbol.dispose]();
    }),
    { numRuns: 20 },
  );
});

/** @returns whether the command took effect */
function run(
  store: Store,
  model: Map<string, Person>,
  each: Exclude<Step, { kind: "reopen" }>,
  seq: number,
  random: () => number,
): boolean {
  const known = model.get(each.id);
  const added =
    each.kind === "add" ? Array.from({ length: each.count }, () => unitVector(random)) : [];
  const perform = () =>
    store.inbox.commitCommand(stamp(seq), (tx) => {
      if (each.kind === "put")
        tx.putIdentity(person(each.id, { displayName: each.name, groups: each.groups }), now);
      if (each.kind === "add") {
        const stored = tx.addTemplates(
          idOf(each.id),
          added.map((vector) => ({ spaceId: each.space, vector })),
          now,
        );
        assert.equal(stored === undefined, known === undefined);
      }
      if (each.kind === "enable")
        assert.equal(
          tx.setEnabled(idOf(each.id), each.enabled, now) === undefined,
          known === undefined,
        );
      if (each.kind === "erase")
        assert.equal(tx.eraseIdentity(idOf(each.id), now), known !== undefined);
      if (each.kind === "fail") {
        tx.putIdentity(person(each.id, { displayName: "never" }), now);
        tx.eraseIdentity(idOf("ann"), now);
        throw new Error("half way");
      }
      return { ok: true };
    });
  const held = each.kind === "add" ? (known?.vectors.get(each.space) ?? []) : [];
  const refused =
    each.kind === "fail" ||
    (known !== undefined && held.length + added.length > LIMITS.templatesMax);
  if (refused) {
    assert.throws(perform);
    return false;
  }
  assert.equal(perform().kind, "done");
  if (each.kind === "put")
    model.set(each.id, {
      name: each.name,
      groups: each.groups,
      enabled: true,
      vectors: known?.vectors ?? new Map(),
    });
  if (each.kind === "add" && known !== undefined)
    known.vectors.set(each.space, [...held, ...added]);
  if (each.kind === "enable" && known !== undefined) known.enabled = each.enabled;
  if (each.kind === "erase") model.delete(each.id);
  return true;
}

function assertSame(store: Store, model: ReadonlyMap<string, Person>): void {
  const ids = [...model.keys()].sort();
  assert.deepEqual(
    store.record.listIdentities(undefined, 100).map((identity) => identity.id),
    ids,
  );
  for (const each of ids) {
    const expected = model.get(each) as Person;
    const found = store.record.identity(idOf(each));
    assert.deepEqual(
      [found?.displayName, found?.groups, found?.enabled],
      [expected.name, expected.groups, expected.enabled],
    );
  }
  for (const space of SPACES) {
    const found = [...store.record.templates(space)].map((template) => [
      template.identityId,
      [...template.vector],
    ]);
    const expected = ids.flatMap((each) =>
      (model.get(each)?.vectors.get(space) ?? []).map((vector) => [each, [...vector]]),
    );
    assert.deepEqual(found, expected);
  }
  assert.deepEqual(store.check().problems, []);
}
