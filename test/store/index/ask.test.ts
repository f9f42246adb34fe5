import assert from "node:assert/strict";
import { test } from "node:test";
import type { Neighbour } from "../../../src/gallery/index-port.ts";
import { cosine } from "../../../src/lib/brand.ts";
import { Fault } from "../../../src/lib/fault.ts";
import { Asker } from "../../../src/store/index/ask.ts";
import { SimulatedClock } from "../../support/clock.ts";
import { RecordingLog } from "../../support/log.ts";

const VECTOR = new Float32Array([1]);
const found: readonly Neighbour[] = [{ slot: 7, cosine: cosine(1) }];

function setUp() {
  const [clock, log, stop] = [new SimulatedClock(), new RecordingLog(), new AbortController()];
  return { clock, log, stop, asker: new Asker({ clock, log }, stop.signal) };
}

const indexThat = (search: () => Promise<readonly Neighbour[]>) => ({
  kind: "hnsw" as const,
  search,
});
const silent = indexThat(() => new Promise(() => undefined));

/** @returns what it resolved to by now, or "waits" */
async function soFar<T>(answer: Promise<T>): Promise<T | "waits"> {
  const turn = new Promise<"waits">((later) => setImmediate(() => later("waits")));
  return Promise.race([answer, turn]);
}

test("the slots that an index proposes; nothing where there is no index", async () => {
  const { asker } = setUp();
  assert.deepEqual(
    await asker.ask(
      indexThat(async () => found),
      VECTOR,
      1,
    ),
    [7],
  );
  assert.equal(await asker.ask(undefined, VECTOR, 1), undefined);
});

test("an index that fails gives nothing, and the log says why", async () => {
  const { asker, log } = setUp();
  const failing = indexThat(async () => {
    throw new Fault("index_died", "gone");
  });
  assert.equal(await asker.ask(failing, VECTOR, 1), undefined);
  assert.equal(log.entries[0]?.fields["code"], "index_died");
});

test("each waits its own time for a silent index, whoever asked before", async () => {
  const { asker, clock } = setUp();
  const answered = asker.ask(
    indexThat(async () => found),
    VECTOR,
    1,
  );
  const first = asker.ask(silent, VECTOR, 1);
  await clock.advance(100);
  const second = asker.ask(silent, VECTOR, 1);
  await clock.advance(149);
  assert.deepEqual([await answered, await soFar(first)], [[7], "waits"]);
  await clock.advance(1);
  assert.deepEqual([await soFar(first), await soFar(second)], [undefined, "waits"]);
  await clock.advance(100);
  assert.equal(await soFar(second), undefined);
  const third = asker.ask(silent, VECTOR, 1);
  await clock.advance(250);
  assert.equal(await soFar(third), undefined);
});

test("a stop ends every wait", async () => {
  const { asker, stop } = setUp();
  const waiting = [asker.ask(silent, VECTOR, 1), asker.ask(silent, VECTOR, 1)];
  stop.abort();
  assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
});
