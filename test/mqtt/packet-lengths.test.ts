import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { keepPacketLengths } from "../../src/mqtt/packet-lengths.ts";

const POOL_BYTES = Buffer.poolSize;
/** What is collected is freed by another thread, in its own time. */
const COLLECTIONS_MAX = 50;

test("packets of ever new lengths do not hold on to the buffer pool", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const ofMqtt = createRequire(createRequire(import.meta.url).resolve("mqtt"));
  const { writeToStream } = ofMqtt("mqtt-packet");
  keepPacketLengths();
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const lengths = 200;
  for (let length = 100; length < 100 + lengths; length += 1) {
    writeToStream(
      { cmd: "publish", topic: "a", payload: Buffer.alloc(length) },
      { write: () => true },
    );
    // The daemon goes on: the next length comes from another part of the pool.
    for (let used = 0; used < POOL_BYTES; used += 4096) Buffer.allocUnsafe(4096);
  }
  const most = (lengths * POOL_BYTES) / 10;
  let grown = Number.POSITIVE_INFINITY;
  for (let tries = 0; grown >= most && tries < COLLECTIONS_MAX; tries += 1) {
    collect();
    await turn();
    grown = process.memoryUsage().arrayBuffers - before;
  }
  assert.ok(grown < most, `${grown} bytes are held`);
});
