/** What the updater relies on in a runtime, real or not. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { PackOnDisk, Runtime } from "../../src/release/ports.ts";

export interface RuntimeRig extends AsyncDisposable {
  readonly runtime: Runtime;
  /** Of another space than the one that serves. */
  readonly other: PackOnDisk;
  /** Enrolled, in order of id: with a kept crop, and without. */
  readonly withCrops: readonly string[];
  readonly withoutCrops: readonly string[];
}

const never = new AbortController().signal;

export function updateRuntimeContract(
  name: string,
  open: () => Promise<RuntimeRig>,
  skip: string | false = false,
): void {
  describe(`runtime of updates: ${name}`, { skip }, () => {
    let rig: RuntimeRig;
    let first: PackOnDisk;
    before(async () => {
      rig = await open();
      first = rig.runtime.active();
    });
    after(() => rig[Symbol.asyncDispose]());
    const spaceOf = ({ pack }: PackOnDisk) => pack.embedder.spaceId;
    const missing = (): readonly string[] =>
      [...rig.runtime.coverage(spaceOf(rig.other)).missing].sort();

    test("a candidate tells what it loaded, fills its space, and begins again where it was", async () => {
      const everybody = [...rig.withCrops, ...rig.withoutCrops].sort();
      assert.deepEqual(missing(), everybody);
      const cursors: string[] = [];
      for (const cursor of [undefined, rig.withCrops[0], undefined]) {
        await using candidate = await rig.runtime.openCandidate(rig.other, never);
        const { loaded } = await candidate.selfTest(never);
        assert.equal(loaded.spaceId, spaceOf(rig.other));
        const onProgress = (at: string, done: number, total: number): void => {
          cursors.push(at);
          assert.ok(done <= total);
        };
        const { withoutCrops } = await candidate.reembed(cursor, onProgress, never);
        assert.deepEqual([...withoutCrops].sort(), rig.withoutCrops);
        assert.deepEqual(missing(), rig.withoutCrops);
      }
      assert.ok(cursors.length > 0);
      assert.equal(
        rig.runtime.active().sha256,
        first.sha256,
        "a candidate changes nothing that serves",
      );
    });

    test("what is given up is not done", async () => {
      const given = AbortSignal.abort();
      await assert.rejects(rig.runtime.switchTo(rig.other, given));
      assert.equal(rig.runtime.active().sha256, first.sha256);
      await assert.rejects(async () => {
        await using candidate = await rig.runtime.openCandidate(rig.other, given);
        await candidate.selfTest(given);
      });
    });

    test("serves what was switched to, there and back, and counts from then on", async () => {
      for (const pack of [rig.other, first]) {
        await rig.runtime.switchTo(pack, never);
        assert.equal(rig.runtime.active().sha256, pack.sha256);
        const { elapsedMs, visionExits, grants } = rig.runtime.probation();
        assert.ok(elapsedMs >= 0 && elapsedMs < 60_000);
        assert.deepEqual([visionExits, grants], [0, 0]);
      }
    });

    test("forgets the spaces that nobody names, but never the one that serves", async () => {
      rig.runtime.retainSpaces([]);
      assert.deepEqual(missing(), [...rig.withCrops, ...rig.withoutCrops].sort());
      assert.deepEqual(rig.runtime.coverage(spaceOf(first)).missing, []);
    });
  });
}
