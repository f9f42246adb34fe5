/** What every implementation of the EmbeddingIndex port keeps. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EmbeddingIndex } from "../../src/gallery/index-port.ts";
import { cosineOf } from "../../src/lib/vector.ts";
import { seeded, unitVector } from "../store/support.ts";

const DIMENSION = 24;

/** @param open an empty index of that dimension */
export function embeddingIndexContract(
  name: string,
  open: (dimension: number) => Promise<EmbeddingIndex>,
): void {
  describe(`embedding index contract: ${name}`, () => {
    const random = seeded(11);
    const entries = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => ({
        slot: from + index,
        vector: unitVector(random, DIMENSION),
      }));

    test("is empty at first and finds nothing", async () => {
      await using index = await open(DIMENSION);
      assert.equal(index.dimension, DIMENSION);
      assert.equal(await index.count(), 0);
      assert.deepEqual(await index.search(unitVector(random, DIMENSION), 3), []);
    });

    test("finds each vector by itself, nearest first, cosine near 1", async () => {
      await using index = await open(DIMENSION);
      const all = entries(0, 300);
      await index.add(all);
      assert.equal(await index.count(), 300);
      for (const { slot, vector } of all.slice(0, 50)) {
        const found = await index.search(vector, 5);
        assert.equal(found[0]?.slot, slot);
        assert.ok(Math.abs((found[0]?.cosine ?? 0) - 1) < 1e-5);
        assert.equal(found.length, 5);
        assert.deepEqual(
          found,
          [...found].sort((a, b) => b.cosine - a.cosine),
        );
      }
    });

    test("agrees with a plain scan on top 1", async () => {
      await using index = await open(DIMENSION);
      const all = entries(0, 1000);
      await index.add(all);
      let agreed = 0;
      for (let query = 0; query < 100; query += 1) {
        const vector = unitVector(random, DIMENSION);
        const scores = all.map((entry) =>
          entry.vector.reduce((sum, value, at) => sum + value * (vector[at] as number), 0),
        );
        const found = await index.search(vector, 1);
        if (found[0]?.slot === scores.indexOf(Math.max(...scores))) agreed += 1;
      }
      assert.ok(agreed >= 99, `${agreed} of 100`);
    });

    test("cosines are those of plain sums, whatever the dimension", async () => {
      for (const dimension of [1, 3, 15, 16, 17, 31, 33, 64, 100, 128, 257, 512]) {
        await using index = await open(dimension);
        const vectors = Array.from({ length: 9 }, () => unitVector(random, dimension));
        await index.add(vectors.map((vector, slot) => ({ slot, vector })));
        const query = unitVector(random, dimension);
        const found = await index.search(query, vectors.length);
        assert.equal(found.length, vectors.length);
        for (const { slot, cosine } of found) {
          const plain = cosineOf(vectors[slot] as Float32Array, query);
          assert.ok(Math.abs(cosine - plain) < 1e-6, `${dimension} values: ${cosine} for ${plain}`);
        }
      }
    });

    test("never returns what was removed, and accepts a removal twice", async () => {
      await using index = await open(DIMENSION);
      const all = entries(0, 100);
      await index.add(all);
      await index.remove([3, 50]);
      await index.remove([3, 12345]);
      assert.equal(await index.count(), 98);
      const found = await index.search(all[3]?.vector as Float32Array, 100);
      assert.equal(found.length, 98);
      assert.ok(found.every(({ slot }) => slot !== 3 && slot !== 50));
    });

    test("requests are answered in order: a search sees what was added and removed before it", async () => {
      await using index = await open(DIMENSION);
      const [first, second] = entries(0, 2);
      if (first === undefined || second === undefined) return;
      const added = index.add([first, second]);
      const seen = index.search(first.vector, 1);
      const removed = index.remove([first.slot]);
      const after = index.search(first.vector, 1);
      await Promise.all([added, removed]);
      assert.equal((await seen)[0]?.slot, first.slot);
      assert.equal((await after)[0]?.slot, second.slot);
    });

    test("more neighbours than there are asked for gives those there are; slots may be sparse", async () => {
      await using index = await open(DIMENSION);
      await index.add([...entries(0, 3), ...entries(70_000, 2)]);
      const found = await index.search(unitVector(random, DIMENSION), 64);
      assert.deepEqual(
        found.map(({ slot }) => slot).sort((a, b) => a - b),
        [0, 1, 2, 70_000, 70_001],
      );
    });

    test("a vector that is not finite and of length 1 is refused and changes nothing", async () => {
      await using index = await open(DIMENSION);
      const [good] = entries(0, 1);
      if (good === undefined) return;
      await index.add([good]);
      for (const bad of [
        new Float32Array(DIMENSION),
        good.vector.map(() => Number.NaN),
        unitVector(random, 8),
      ]) {
        await assert.rejects(async () => index.add([{ slot: 1, vector: bad }]), {
          code: "invalid_template",
        });
      }
      assert.equal(await index.count(), 1);
    });

    test("a query that is not finite and of length 1 is refused", async () => {
      await using index = await open(DIMENSION);
      await index.add(entries(0, 2));
      await assert.rejects(
        async () => index.search(new Float32Array(DIMENSION).fill(Number.NaN), 1),
        { code: "invalid_query" },
      );
      await assert.rejects(async () => index.search(unitVector(random, 8), 1), {
        code: "invalid_query",
      });
    });

    test("a slot that is held is not taken twice", async () => {
      await using index = await open(DIMENSION);
      const [one] = entries(0, 1);
      if (one === undefined) return;
      await index.add([one]);
      await assert.rejects(async () => index.add([one]), { code: "slot_in_use" });
      assert.equal(await index.count(), 1);
    });

    test("once closed it refuses", async () => {
      const index = await open(DIMENSION);
      await index[Symbol.asyncDispose]();
      await assert.rejects(async () => index.search(unitVector(random, DIMENSION), 1), {
        code: "index_closed",
      });
    });
  });
}
