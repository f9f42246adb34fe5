import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Latest } from "../../src/lib/latest.ts";

test("keeps the newest and hands back what made room", async () => {
  const box = new Latest<number>(2);
  assert.equal(box.put(1), undefined);
  assert.equal(box.put(2), undefined);
  assert.equal(box.put(3), 1);
  assert.equal(box.droppedCount, 1);
  assert.deepEqual([await box.take(), await box.take()], [2, 3]);
});

test("a waiting taker gets the next item at once", async () => {
  const box = new Latest<string>();
  const taken = box.take();
  assert.equal(box.put("a"), undefined);
  assert.equal(await taken, "a");
  assert.equal(box.droppedCount, 0);
});

test("closing wakes the taker, empties the box and refuses items", async () => {
  const box = new Latest<string>();
  const taken = box.take();
  box.close();
  assert.equal(await taken, undefined);
  assert.equal(box.put("late"), "late");
  assert.equal(await box.take(), undefined);
  assert.equal(box.droppedCount, 0);
});

test("what is put is either taken, handed back, or still inside", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { maxLength: 40 }),
      fc.integer({ min: 1, max: 4 }),
      async (puts, capacity) => {
        const box = new Latest<number>(capacity);
        const out: number[] = [];
        let inside = 0;
        for (const [index, isPut] of puts.entries()) {
          if (isPut) {
            const back = box.put(index);
            if (back === undefined) inside += 1;
            else out.push(back);
          } else if (inside > 0) {
            out.push((await box.take()) as number);
            inside -= 1;
          }
        }
        assert.ok(inside <= capacity);
        assert.deepEqual(
          out,
          out.toSorted((a, b) => a - b),
        );
        assert.equal(out.length + inside, puts.filter(Boolean).length);
      },
    ),
  );
});
