/**
 * A device is ended at any moment of an update: killed at a system call, or by a power loss that keeps
 * only some of what was not synced. OSTIARY_UPDATE_POINTS asks for more points than `npm test` takes.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isInFlight } from "../../src/release/journal.ts";
import type { PackName } from "../../src/release/state.ts";
import { seeded } from "../store/support.ts";
import { within } from "../support/waiting.ts";
import { sha256 } from "../update/support.ts";
import { type DiskOp, readLog, recording } from "./support/disk-log.ts";
import { DiskModel, type Loss } from "./support/disk-model.ts";
import { boot, layOut, live, openPacks, openStore, PACKS } from "./support/update-device.ts";

const points = Number(process.env["OSTIARY_UPDATE_POINTS"] ?? 500);
const kills = Math.floor(points / 10);
const CHILD = join(import.meta.dirname, "support/update-child.ts");
const RUN_MS = 100_000;
/** Every that many states also go on to the end of the update. */
const GOES_ON_EVERY = 4;
const AT_ONCE = 2;

const hasStrace = spawnSync("strace", ["-V"]).status === 0;
const skip = hasStrace ? false : "NOT RUN: strace is missing, run scripts/setup.sh";
/** Memory where there is some: nothing here asks whether the disk keeps what it says. */
const scratch = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

describe("an update that is ended at any moment", { skip }, () => {
  let root = "";
  const at = (name: string): string => join(root, name);
  before(async () => {
    root = mkdtempSync(join(scratch, "ostiary-update-crash-"));
    await layOut(at("template"));
    // The compile cache is filled, with writes of its own.
    await lifeOf(copy("warm"), []);
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  /** A device of its own; factory and repository are everybody's. */
  function copy(name: string): string {
    cpSync(at("template/state"), join(at(name), "state"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    return shared(name);
  }

  function shared(name: string): string {
    for (const folder of ["factory", "repository"])
      symlinkSync(at(`template/${folder}`), join(at(name), folder));
    return at(name);
  }

  /** @returns the signal that ended it, if any. @throws when it failed by itself */
  async function lifeOf(device: string, tracer: readonly string[]): Promise<string | undefined> {
    const [program = "", ...args] = [
      ...tracer,
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      CHILD,
      device,
    ];
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, UV_THREADPOOL_SIZE: "1", NODE_COMPILE_CACHE: at("cache") },
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    const ended = new Promise<[number | null, string | null]>((resolve) => {
      child.once("close", (...how) => resolve(how));
    });
    const [code, signal] = await within(ended, "the life ends", RUN_MS, () => errors).finally(() =>
      child.kill("SIGKILL"),
    );
    const killed = signal ?? (code === 137 ? "SIGKILL" : undefined);
    assert.ok(killed !== undefined || code === 0, `the life failed by itself (${code}): ${errors}`);
    return killed;
  }

  test(`killed at ${kills} system calls`, { timeout: 200_000 + points * 500 }, async () => {
    const log = at("calls");
    await lifeOf(copy("counted"), recording(log));
    const queue = killsOf(callsByThread(log), seeded(23));
    let [killed, tried] = [0, 0];
    const lane = async (): Promise<void> => {
      for (const { call, nth } of queue) {
        if (killed >= kills) return;
        tried += 1;
        const name = `killed-${tried}`;
        const device = copy(name);
        const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
        const tracer = ["strace", "-f", "-qq", "-o", "/dev/null", `-etrace=${call}`, "-e", inject];
        if ((await lifeOf(device, tracer)) !== undefined) killed += 1;
        await checked(device, `killed at ${call} ${nth}`, true);
        rmSync(device, { recursive: true, force: true });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    assert.ok(killed >= kills, `only ${killed} of ${tried} lives were ended: the calls have moved`);
  });

  test(`cut off from power at ${points - kills} points`, {
    timeout: 200_000 + points * 500,
  }, async () => {
    const recorded = copy("recorded");
    const state = join(recorded, "state");
    const log = at("record");
    const first = new DiskModel(state);
    await lifeOf(recorded, recording(log));
    const ops = readLog(log, state);
    for (const op of ops) first.apply(op);
    first.materialise(join(at("whole"), "state"), "nothing lost", Math.random);
    assertSameTree(join(at("whole"), "state"), state);
    const wanted = points - kills;
    const random = seeded(29);
    let made = 0;
    for (let round = 0; made < wanted; round += 1) {
      const model = new DiskModel(at("template/state"));
      for (const [index, op] of ops.entries()) {
        model.apply(rebased(op, state, at("template/state")));
        if (!isPoint(op) || made >= wanted) continue;
        const loss = LOSSES[(index + round) % LOSSES.length] as Loss;
        const name = `cut-${made}`;
        model.materialise(join(at(name), "state"), loss, random);
        const where = `${loss} after operation ${index} (${op.kind}), round ${round}`;
        await checked(shared(name), where, made % GOES_ON_EVERY === 0);
        rmSync(at(name), { recursive: true, force: true });
        made += 1;
      }
    }
    assert.equal(made, wanted);
  });
});

const LOSSES: readonly Loss[] = ["some lost", "everything lost", "some lost", "nothing lost"];

/** Opening and closing change nothing that a power loss could take. */
function isPoint(op: DiskOp): boolean {
  return op.kind !== "close" && (op.kind !== "open" || op.creates || op.truncates);
}

function rebased(op: DiskOp, from: string, to: string): DiskOp {
  const move = (path: string): string => `${to}${path.slice(from.length)}`;
  if ("path" in op) return { ...op, path: move(op.path) };
  return "from" in op ? { ...op, from: move(op.from), to: move(op.to) } : op;
}

/** What must be true of a device that was ended, whatever it was doing. */
async function checked(device: string, where: string, goesOn: boolean): Promise<void> {
  try {
    await checkBoot(device);
    if (!goesOn) return;
    await live(device);
    await checkEnd(device);
  } catch (cause) {
    throw new Error(where, { cause });
  }
}

/** It boots, with one pack active, right in every byte, and the one before it still there. */
async function checkBoot(device: string): Promise<void> {
  using store = openStore(device);
  assert.deepEqual(store.check().problems, []);
  const serving = await boot(device, store);
  const entry = store.updates.entry();
  const packs = await openPacks(device);
  const tiny = [PACKS.old, PACKS.fresh].find(({ name }) => name.sha256 === serving.sha256);
  assert.ok(tiny !== undefined, `${serving.pack.id} serves`);
  assert.equal(activeLink(device), serving.sha256);
  const isTried = entry.candidate?.sha256 === serving.sha256 && isInFlight(entry.state);
  assert.equal((isTried ? entry.candidate : entry.active)?.sha256, serving.sha256);
  if (isTried) assert.ok(["activating", "probation"].includes(entry.state), entry.state);
  const before: PackName | undefined = isTried ? entry.active : entry.previous;
  assert.ok(packs.read(before), "what served before is not there");
  if (serving.sha256 === PACKS.fresh.name.sha256)
    assert.equal(before?.sha256, PACKS.old.name.sha256);
  for (const file of serving.pack.files)
    assert.equal(sha256(tiny.blobs.get(file.name) ?? Buffer.alloc(0)), file.sha256);
  const { spaceId } = PACKS.old.name;
  assert.deepEqual(
    [...store.record.templates(spaceId)].map(({ identityId }) => identityId),
    ["ada", "bob", "eve"],
  );
  assert.ok(store.updates.floors().release >= PACKS.old.name.releaseCounter);
}

/** The update came to its end: the fresh pack was sent back and stays away, and nothing is left of it. */
async function checkEnd(device: string): Promise<void> {
  using store = openStore(device);
  const { state, active, error } = store.updates.entry();
  assert.deepEqual([state, active?.id], ["rolled-back", PACKS.old.name.id]);
  assert.ok(error?.code === "requested" || error?.code === "crashed", error?.code);
  assert.ok(store.updates.denied(PACKS.fresh.name.sha256));
  assert.equal(activeLink(device), PACKS.old.name.sha256);
  const left = readdirSync(join(device, "state/packs"));
  assert.deepEqual(left.sort(), [PACKS.old.name.sha256, "active"].sort());
}

function activeLink(device: string): string {
  return readlinkSync(join(device, "state/packs/active"));
}

/** How often each thread made each call. */
function callsByThread(log: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const output = spawnSync("cut", ["-c1-40", log], { encoding: "utf8", maxBuffer: 1 << 28 }).stdout;
  for (const line of output.split("\n")) {
    const [, thread, call] = /^(\d+)\s+(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) continue;
    const key = `${call} ${thread}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

interface Kill {
  readonly call: string;
  readonly nth: number;
}

/** All of the rare calls in no order, then a sample of the many writes; and again from the beginning. */
function* killsOf(counts: ReadonlyMap<string, number>, random: () => number): Generator<Kill> {
  const rare = ["fsync", "rename", "link", "symlink", "unlink", "rmdir", "mkdir", "ftruncate"];
  const all = [...rare, "pwrite64"].flatMap((call) => {
    const most = Math.max(
      0,
      ...[...counts].filter(([key]) => key.startsWith(`${call} `)).map(([, count]) => count),
    );
    return Array.from({ length: most }, (_, index) => ({ call, nth: index + 1 }));
  });
  for (;;)
    yield* all
      .map((kill) => ({ kill, key: random() - (kill.call === "pwrite64" ? 0 : 0.5) }))
      .sort((a, b) => a.key - b.key)
      .map(({ kill }) => kill);
}

/** The model and the disk saw the same calls: what the one holds the other does. */
function assertSameTree(model: string, disk: string): void {
  const compared = spawnSync("diff", ["-r", "--no-dereference", model, disk], { encoding: "utf8" });
  assert.equal(compared.status, 0, `the record is not what happened: ${compared.stdout}`);
}
