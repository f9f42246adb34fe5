/** The store is killed with SIGKILL between every two steps of commands. OSTIARY_CRASH_POINTS asks for more points. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { seeded } from "../store/support.ts";
import { type Crash, crashAndCheck, type KillAt } from "./store-crash.ts";

const COMMANDS = 8;
const points = Number(process.env["OSTIARY_CRASH_POINTS"] ?? 200);
const hasStrace = spawnSync("strace", ["-V"]).status === 0;
/** As many harnesses at once: each is one busy thread. */
const LANES = 2;

/** Every sync, truncation and unlinking of one seeded life, and a sample of its writes; then the next life. */
function* crashes(): Generator<Crash> {
  for (let seed = 1; ; seed += 1) {
    const random = seeded(seed * 31);
    const at = (name: string, nth: number): KillAt => ({ kind: "syscall", name, nth });
    const kills: KillAt[] = [
      ...Array.from({ length: 20 }, (_, index) => at("fsync", index + 4)),
      ...Array.from({ length: 4 }, (_, index) => at("ftruncate", index + 1)),
      at("unlink", 1),
      ...Array.from({ length: 5 }, () => at("write", 4 + Math.floor(random() * 14))),
      ...Array.from({ length: 22 }, () => at("pwrite64", 20 + Math.floor(random() * 260))),
      ...Array.from(
        { length: 2 },
        () => ({ kind: "acknowledgement", nth: 1 + Math.floor(random() * COMMANDS) }) as const,
      ),
    ];
    for (const kill of kills) yield { seed, commands: COMMANDS, at: kill };
  }
}

const skip = hasStrace ? false : "NOT RUN: strace is missing, run scripts/setup.sh";

test("a full or a failing disk stops a store with its own fault, and nothing acknowledged is lost", {
  skip,
  timeout: 200_000,
}, async () => {
  const kills: KillAt[] = [
    { kind: "failure", name: "pwrite64", error: "ENOSPC", nth: 150 },
    { kind: "failure", name: "pwrite64", error: "EIO", nth: 170 },
    { kind: "failure", name: "fsync", error: "EIO", nth: 16 },
    { kind: "failure", name: "ftruncate", error: "EIO", nth: 3 },
  ];
  for (const at of kills)
    assert.ok(await crashAndCheck({ seed: 3, commands: COMMANDS, at }), JSON.stringify(at));
});

test(`a store killed at ${points} points keeps what it acknowledged and has erased what it erased`, {
  skip,
  timeout: 200_000 + points * 1000,
}, async () => {
  const queue = crashes();
  let [killed, tried] = [0, 0];
  const lane = async (): Promise<void> => {
    while (killed < points && tried < points * 2) {
      const next = queue.next();
      if (next.done === true) return;
      tried += 1;
      if (await crashAndCheck(next.value)) killed += 1;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  assert.ok(
    killed >= points,
    `only ${killed} of ${tried} runs were killed: the system calls have moved`,
  );
});
