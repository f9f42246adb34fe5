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

  test("eight bits propose, the exact cosine decides: no row of the best is left out, however the vectors lie", () => {
    const random = seeded(12);
    const unit = (values: Float32Array): Float32Array => {
      const length = Math.hypot(...values);
      return values.map((value) => value / length);
    };
    // Axes lose nothing; one large value among small ones loses most; twins differ by less than a code.
    const shapes: readonly ((dimension: number, twin: Float32Array) => Float32Array)[] = [
      (dimension) => unitVector(random, dimension),
      (dimension) => new Float32Array(dimension).fill(0).fill(1, 0, 1),
      (dimension) => unit(new Float32Array(dimension).fill(-1)),
      (dimension) => unit(unitVector(random, dimension).fill(9, 0, 1)),
      (_, twin) => unit(twin.map((value) => value + 1e-4 * (random() - 0.5))),
      (_, twin) => twin.map((value) => -value),
    ];
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.nat(shapes.length - 1), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 24 }),
        fc.nat(shapes.length - 1),
        (dimension, kinds, k, asked) => {
          const twin = unitVector(random, dimension);
          const make = (kind: number) => shapes[kind]?.(dimension, twin) as Float32Array;
          const table = VectorTable.create(dimension);
          kinds.forEach((kind, slot) => void table.set(slot, make(kind)));
          const query = make(asked);
          const exact = kinds.map((_, slot) => table.cosineWith(slot, query) as number);
          assert.deepEqual(
            table.nearest(query, k, kinds.length, 0, always).map(({ cosine }) => cosine),
            exact.toSorted((a, b) => b - a).slice(0, k),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test("the widest vectors stay within 32 bits", () => {
    const table = VectorTable.create(8192);
    const flat = new Float32Array(8192).fill(1 / Math.sqrt(8192));
    table.set(0, flat);
    table.set(
      1,
      flat.map((value) => -value),
    );
    const found = table.nearest(flat, 2, 2, 0, always);
    assert.deepEqual(
      found.map(({ slot, cosine }) => [slot, Math.round(cosine * 1000)]),
      [
        [0, 1000],
        [1, -1000],
      ],
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
