import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { HnswCore } from "../../../src/store/index/hnsw-core.ts";
import { HNSW_DEFAULTS } from "../../../src/store/index/thread-index.ts";
import { VectorTable } from "../../../src/store/index/vector-table.ts";

const hasHugePages = existsSync("/sys/kernel/mm/transparent_hugepage/enabled");

test("the graph lies where the kernel may use huge pages", { skip: !hasHugePages }, () => {
  const capacity = 40_000;
  const before = advisedKb();
  const core = new HnswCore(VectorTable.create(256), { ...HNSW_DEFAULTS, capacity });
  // Vectors and links of the lowest layer.
  assert.ok(advisedKb() - before >= (capacity * 256 * 4) / 1024);
  core.close();
  assert.equal(advisedKb(), before, "what is closed is given back");
});

/** Size of all mappings with the advice (`hg`, proc_pid_smaps(5)). */
function advisedKb(): number {
  return readFileSync("/proc/self/smaps", "utf8")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => /^VmFlags:.* hg( |$)/m.test(mapping))
    .reduce((sum, mapping) => sum + Number(/^Size: +(\d+) kB/m.exec(mapping)?.[1]), 0);
}
