/** Re-embedding with a real store, and an embedder that does as it is told. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ReembedDeps, reembedFrom, reembedThese } from "../../src/control/reembed.ts";
import type { SpaceId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import type { SourceCrop } from "../../src/observation/messages.ts";
import type { Store } from "../../src/store/store.ts";
import { idOf, now, person, StoreDirectory, seeded, space, unitVector } from "../store/support.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";

const OTHER = "space-2" as SpaceId;
const DIMENSION = 16;
const NEVER = new AbortController().signal;
const random = seeded(5);
const point = { x: 1, y: 2 };
const five = [point, point, point, point, point];

/** `tag` is the first byte of each crop: what the embedder does with it. */
function enrol(store: Store, id: string, tags: readonly number[], landmarks = five): void {
  store.transact((tx) => {
    tx.putIdentity(person(id), now);
    const shots = tags.map((tag) => ({
      spaceId: space,
      vector: unitVector(random, DIMENSION),
      sourceCrop: { png: Uint8Array.of(tag), landmarks },
    }));
    tx.addTemplates(idOf(id), shots, now);
  });
}

const GOOD = 1;
const UNUSABLE = 2;
const NOT_A_NUMBER = 3;

const embed: ReembedDeps["embed"] = async (crops: readonly SourceCrop[]) =>
  crops.map(({ png }) => {
    if (png[0] === UNUSABLE) throw new Fault("crop_unusable", "no face");
    return png[0] === NOT_A_NUMBER
      ? new Float32Array(DIMENSION).fill(Number.NaN)
      : unitVector(random, DIMENSION);
  });

function depsOf(store: Store, change: Partial<ReembedDeps> = {}): ReembedDeps {
  return {
    store,
    clock: new SimulatedClock(),
    log: new RecordingLog(),
    embed,
    spaceId: OTHER,
    dimension: DIMENSION,
    ...change,
  };
}

const counts = (store: Store, ...ids: readonly string[]): readonly number[] =>
  ids.map((id) => store.record.templateCount(idOf(id), OTHER));

describe("re-embedding the gallery", () => {
  test("everybody once, in order, and what is there is passed over", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    for (let index = 0; index < 20; index += 1)
      enrol(store, `p${String(index).padStart(2, "0")}`, [GOOD, GOOD]);
    const cursors: string[] = [];
    const filled = await reembedFrom(undefined, depsOf(store), (at) => cursors.push(at), NEVER);
    assert.deepEqual(filled, { identities: 20, templates: 40, broken: [] });
    assert.deepEqual(cursors, ["p07", "p15", "p19"]);
    assert.equal(store.reembedding.cursor(OTHER), "p19");
    let asked = 0;
    const counting: ReembedDeps["embed"] = async (crops, signal) => {
      asked += 1;
      return embed(crops, signal);
    };
    const again = await reembedFrom(
      undefined,
      depsOf(store, { embed: counting }),
      () => undefined,
      NEVER,
    );
    assert.deepEqual([again.templates, asked], [0, 0]);
  });

  test("ended after a page, or by the embedder's end, it keeps what was done and goes on from there", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    for (let index = 0; index < 20; index += 1)
      enrol(store, `p${String(index).padStart(2, "0")}`, [GOOD]);
    const stop = new AbortController();
    await assert.rejects(reembedFrom(undefined, depsOf(store), () => stop.abort(), stop.signal));
    assert.equal(store.reembedding.cursor(OTHER), "p07");
    let left = 3;
    const dies: ReembedDeps["embed"] = (crops, signal) => {
      left -= 1;
      if (left === 0) throw new Fault("vision_restarted", "gone");
      return embed(crops, signal);
    };
    await assert.rejects(
      reembedFrom(idOf("p07"), depsOf(store, { embed: dies }), () => undefined, NEVER),
      { code: "vision_restarted" },
    );
    const rest = await reembedFrom(idOf("p07"), depsOf(store), () => undefined, NEVER);
    assert.equal(rest.templates, 12);
  });

  test("a crop that cannot be embedded costs only itself, and its owner is named", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ann", [GOOD, UNUSABLE, GOOD]);
    enrol(store, "ben", [GOOD]);
    enrol(store, "cat", [NOT_A_NUMBER, GOOD]);
    enrol(store, "dan", [GOOD], five.slice(1));
    const filled = await reembedFrom(undefined, depsOf(store), () => undefined, NEVER);
    assert.deepEqual(filled.broken, ["ann", "cat", "dan"]);
    assert.deepEqual(counts(store, "ann", "ben", "cat", "dan"), [2, 1, 1, 0]);
    assert.ok(store.check().ok);
  });

  test("who is erased while their crops are embedded is in no space", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    enrol(store, "ann", [GOOD]);
    enrol(store, "ben", [GOOD]);
    const erasing: ReembedDeps["embed"] = async (crops, signal) => {
      if (store.record.identity(idOf("ann")) !== undefined)
        store.transact((tx) => tx.eraseIdentity(idOf("ann"), now));
      return embed(crops, signal);
    };
    const deps = depsOf(store, { embed: erasing });
    const filled = await reembedFrom(undefined, deps, () => undefined, NEVER);
    assert.equal(filled.templates, 1);
    assert.deepEqual(counts(store, "ann", "ben"), [0, 1]);
    assert.ok(store.check().ok);
  });

  test("these people alone, wherever they are", async () => {
    using directory = new StoreDirectory();
    using store = directory.open();
    for (const id of ["ann", "ben", "cat"]) enrol(store, id, [GOOD]);
    const ids = [idOf("cat"), idOf("ann"), idOf("nobody")];
    assert.equal((await reembedThese(ids, depsOf(store), NEVER)).templates, 2);
    assert.deepEqual(counts(store, "ann", "ben", "cat"), [1, 0, 1]);
    assert.equal(store.reembedding.cursor(OTHER), undefined);
  });
});
