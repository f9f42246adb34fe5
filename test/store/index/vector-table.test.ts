import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { IdentityId, TemplateId } from "../../../src/lib/brand.ts";
import { RecallEstimate } from "../../../src/store/index/recall.ts";
import { SlotBook } from "../../../src/store/index/slot-book.ts";
import { VectorTable } from "../../../src/store/index/vector-table.ts";
import { seeded, unitVector } from "../support.ts";

const always = () => true;

describe("vector table", () => {
  test("the SIMD scan agrees with plain sums, for any size, over blocks and growth", () => {
    const random = seeded(9);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 80 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 12 }),
        (dimension, count, k) => {
          const table = VectorTable.create(dimension);
          const vectors = Array.from({ length: count }, () => unitVector(random, dimension));
          for (const [slot, vector] of vectors.entries()) table.set(slot, vector);
          const query = unitVector(random, dimension);
          const scores = vectors.map((vector) =>
            vector.reduce((sum, value, at) => sum + value * (query[at] as number), 0),
          );
          const found = table.nearest(query, k, count, 0, always);
          const best = scores.toSorted((a, b) => b - a).slice(0, k);
          assert.equal(found.length, best.length);
          found.forEach(({ slot, cosine }, index) => {
            assert.ok(Math.abs(cosine - (best[index] as number)) < 1e-5);
            assert.ok(Math.abs(table.cosineWith(slot, query) - (scores[slot] as number)) < 1e-12);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test("more rows than one block: the best of the last block is found, and rows that are not held are not", () => {
    const random = seeded(10);
    const table = VectorTable.create(4);
    for (let slot = 0; slot < 20_000; slot += 1) table.set(slot, unitVector(random, 4));
    const target = table.get(19_999);
    assert.equal(table.nearest(target, 1, 20_000, 0, always)[0]?.slot, 19_999);
    assert.notEqual(
      table.nearest(target, 1, 20_000, 0, (slot) => slot !== 19_999)[0]?.slot,
      19_999,
    );
    table.wipe(19_999);
    assert.deepEqual(table.get(19_999), new Float32Array(4));
    assert.equal(table.cosineWith(19_999, target), 0);
  });

  test("another thread's view sees rows that were added after it joined", () => {
    const table = VectorTable.create(16);
    const joined = VectorTable.join(table.handle);
    const vector = unitVector(seeded(1), 16);
    table.set(50_000, vector);
    assert.deepEqual(joined.get(50_000), vector);
  });

  test("what is no unit vector does not get in, nor a dimension that does not fit", () => {
    const table = VectorTable.create(4);
    for (const bad of [
      new Float32Array(4),
      Float32Array.of(Number.NaN, 1, 0, 0),
      Float32Array.of(1, 0),
    ]) {
      assert.throws(() => table.set(0, bad), { code: "invalid_template" });
    }
    assert.throws(() => VectorTable.create(100_000), { code: "invalid_dimension" });
  });
});

test("a slot has one owner, is nobody's once released, and is used again only when recycled", () => {
  const book = new SlotBook();
  const owner = (identity: string, template: string) => ({
    identityId: identity as IdentityId,
    templateId: template as TemplateId,
  });
  const first = book.take(owner("ann", "a1"));
  book.take(owner("ann", "a2"));
  const bob = book.take(owner("bob", "b1"));
  assert.deepEqual([book.identityCount, book.templateCount, book.end], [2, 3, 3]);
  assert.deepEqual(book.release("ann" as IdentityId), [0, 1]);
  assert.equal(book.ownerOf(first), undefined);
  assert.equal(book.take(owner("cat", "c1")), 3);
  book.recycle([0, 1]);
  assert.ok([0, 1].includes(book.take(owner("dan", "d1"))));
  assert.ok(book.owned().includes(bob));
  assert.deepEqual([book.identityCount, book.templateCount], [3, 3]);
  assert.deepEqual(book.release("ann" as IdentityId), []);
});

test("recall is an estimate of the present, and says nothing on few samples", () => {
  const recall = new RecallEstimate();
  assert.equal(recall.share, undefined);
  for (let sample = 0; sample < 199; sample += 1) recall.note(false);
  assert.equal(recall.isBelow(0.99), false);
  recall.note(false);
  assert.equal(recall.isBelow(0.99), true);
  for (let sample = 0; sample < 20_000; sample += 1) recall.note(true);
  assert.ok((recall.share ?? 0) > 0.999);
});
