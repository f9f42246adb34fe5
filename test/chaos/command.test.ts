/**
 * Command handling killed with SIGKILL between every two steps of enrol and erase. Points are seeded
 * (OSTIARY_CHAOS_SEED, OSTIARY_CHAOS_POINTS); a failure names its point and seed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { Answer } from "../../src/lib/envelope.ts";
import type { Store } from "../../src/store/store.ts";
import { SPACE } from "../control/support/rig.ts";
import { seeded } from "../store/support.ts";
import { dispatcherOver, openStore } from "./support/command-harness.ts";
import { EXPECTED, type Expected, GUIDED, STEPS } from "./support/command-script.ts";

const SEED = Number(process.env["OSTIARY_CHAOS_SEED"] ?? 20260105);
const POINTS = Number(process.env["OSTIARY_CHAOS_POINTS"] ?? 110);
/** What SQLite does to its files, and how an acknowledgement leaves. strace counts each call by itself. */
const CALLS = ["pwrite64", "fsync", "ftruncate", "unlink", "writev"] as const;
const CHILD = new URL("support/command-child.ts", import.meta.url).pathname;
const AT_ONCE = 2;
/** One run of the script under strace takes seconds. */
const RUN_MS = 60_000;
const KID = "0123456789abcdef";
const LAST = EXPECTED.at(-1) as Expected;

interface Point {
  readonly call: (typeof CALLS)[number];
  readonly count: number;
}

let root = "";
let template = "";

before(() => {
  // Memory: what a killed process wrote is there for the next one wherever it was written.
  root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "ostiary-command-"));
  template = join(root, "template");
  openStore(template)[Symbol.dispose]();
});
after(() => rmSync(root, { recursive: true, force: true }));

test(`killed at ${POINTS} system calls, nothing acknowledged is lost and nothing happens twice`, {
  timeout: 200_000 + POINTS * 1000,
}, async (t) => {
  const random = seeded(SEED);
  const points = sample(await callsOfOneRun(), POINTS, random);
  let killed = 0;
  const seen = { between: 0, interrupted: 0 };
  await eachOf(points, async (point, index) => {
    const directory = copy(`point-${index}`);
    const acked = await runUntilKilled(directory, tracing(point));
    if (acked.length < STEPS.length) killed += 1;
    const verdict = await verify(
      directory,
      acked,
      `seed ${SEED}: ${point.call} number ${point.count}`,
    );
    if (verdict.between) seen.between += 1;
    if (verdict.interrupted) seen.interrupted += 1;
    rmSync(directory, { recursive: true });
  });
  t.diagnostic(
    `${points.length} points, ${killed} killed before the end, ${seen.between} committed but not acknowledged, ${seen.interrupted} in a guided enrolment`,
  );
  assert.ok(
    killed >= points.length * 0.8,
    `only ${killed} of ${points.length} points killed the process`,
  );
  assert.ok(seen.between > 0, "no point lay between a commit and its acknowledgement");
});

test("killed the moment an acknowledgement is read, its effect holds", {
  timeout: 120_000,
}, async () => {
  await eachOf(STEPS, async (_step, index) => {
    const directory = copy(`ack-${index}`);
    const acked = await runUntilKilled(
      directory,
      (child) => [process.execPath, [CHILD, child]],
      index + 1,
    );
    assert.ok(acked.length > index);
    await verify(directory, acked, `kill -9 after acknowledgement ${index + 1}`);
    rmSync(directory, { recursive: true });
  });
});

type CommandLine = (directory: string) => readonly [string, readonly string[]];

function tracing({ call, count }: Point): CommandLine {
  return (directory) => [
    "strace",
    // Without --seccomp-bpf: under it, strace 6.1 traces but does not inject.
    [
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      `trace=${call}`,
      "-e",
      `inject=${call}:signal=SIGKILL:when=${count}`,
      process.execPath,
      CHILD,
      directory,
    ],
  ];
}

/** @returns the acknowledgements that were read before the process died or ended */
async function runUntilKilled(
  directory: string,
  commandOf: CommandLine,
  killAfter?: number,
): Promise<readonly { readonly id: string; readonly answer: Answer }[]> {
  const [program, args] = commandOf(directory);
  const child = spawn(program, [...args], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, UV_THREADPOOL_SIZE: "1", NODE_COMPILE_CACHE: join(root, "cache") },
  });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // A child that hangs ends the reading below too.
  let isHung = false;
  const limit = setTimeout(() => {
    isHung = true;
    child.kill("SIGKILL");
  }, RUN_MS);
  const acked: { readonly id: string; readonly answer: Answer }[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "ready" || !line.endsWith("}")) continue;
    acked.push(JSON.parse(line));
    if (acked.length === killAfter) child.kill("SIGKILL");
  }
  await gone;
  clearTimeout(limit);
  assert.ok(!isHung, `the child hung for ${RUN_MS} ms after ${acked.length} acknowledgements`);
  return acked;
}

async function verify(
  directory: string,
  acked: readonly { readonly id: string; readonly answer: Answer }[],
  where: string,
) {
  using store = openStore(directory);
  assert.deepEqual(store.check().problems, [], where);
  const found = stateOf(store);
  const [least, most] = [EXPECTED[acked.length], EXPECTED[acked.length + 1] ?? LAST];
  const started =
    acked.length === GUIDED &&
    least !== undefined &&
    same(found, { ...least, events: least.events + 1 });
  assert.ok(
    same(found, least) || same(found, most) || started,
    `${where}: after ${acked.length} acknowledgements the store holds ${JSON.stringify(found)}`,
  );
  for (const [index, { id, answer }] of acked.entries()) {
    assert.equal(id, STEPS[index]?.id, where);
    assert.equal(answer.ok, true, `${where}: ${id} ${JSON.stringify(answer)}`);
    assertRepeats(store.inbox.answered(KID, id), answer, `${where}: ${id}`);
  }
  await verifyRepeats(store, acked, started ? LAST.events - 1 : LAST.events, where);
  return { between: !same(found, least) && !started, interrupted: started };
}

/** The sender, who does not know what was done, sends everything again. */
async function verifyRepeats(
  store: Store,
  acked: readonly { readonly answer: Answer }[],
  events: number,
  where: string,
): Promise<void> {
  await using dispatcher = dispatcherOver(store);
  for (const [index, step] of STEPS.entries()) {
    let last: Answer | undefined;
    await dispatcher.submit(
      { ...step, kid: KID, stream: "stream-0001", source: "mqtt" },
      (answer) => {
        last = answer;
      },
    );
    const before = acked[index]?.answer;
    if (before !== undefined) assertRepeats(last, before, `${where}: ${step.id} again`);
  }
  assert.deepEqual(
    stateOf(store),
    { ...LAST, events },
    `${where}: after everything was sent again`,
  );
}

/** An answer that named somebody who was erased since has lost what it said. */
function assertRepeats(answer: Answer | undefined, first: Answer, where: string): void {
  if (answer?.ok === false && answer.error.code === "answer_erased") return;
  assert.deepEqual(answer, first, where);
}

function stateOf(store: Store): Expected {
  const identities = store.record
    .listIdentities(undefined, 100)
    .map(
      ({ id, enabled }) =>
        [id, { enabled, templates: store.record.templateCount(id, SPACE) }] as const,
    );
  return { identities: Object.fromEntries(identities), events: store.outbox.bounds()?.last ?? 0 };
}

function same(a: Expected | undefined, b: Expected | undefined): boolean {
  const text = (state: Expected | undefined): string =>
    JSON.stringify(
      state && { events: state.events, identities: Object.entries(state.identities).sort() },
    );
  return text(a) === text(b);
}

/** How often the main thread makes each call when nothing kills it. */
async function callsOfOneRun(): Promise<ReadonlyMap<Point["call"], number>> {
  const log = join(root, "calls");
  // The first run fills the compile cache, with writes of its own.
  await runUntilKilled(copy("warm"), (at) => [process.execPath, [CHILD, at]]);
  const directory = copy("counted");
  const acked = await runUntilKilled(directory, (at) => [
    "strace",
    [
      "-f",
      "--seccomp-bpf",
      "-qq",
      "-o",
      log,
      "-e",
      `trace=${CALLS.join()}`,
      process.execPath,
      CHILD,
      at,
    ],
  ]);
  assert.equal(acked.length, STEPS.length, "the script must run through when nothing kills it");
  await verify(directory, acked, "nothing killed it");
  const lines = readFileSync(log, "utf8").split("\n");
  const main = lines[0]?.split(" ")[0];
  return new Map(
    CALLS.map((call) => [
      call,
      lines.filter((line) => line.split(/\s+/)[0] === main && line.includes(` ${call}(`)).length,
    ]),
  );
}

/** All rare calls are tried before the many writes are sampled. */
function sample(
  counts: ReadonlyMap<Point["call"], number>,
  wanted: number,
  random: () => number,
): readonly Point[] {
  const pointsOf = (call: Point["call"]): Point[] =>
    Array.from({ length: counts.get(call) ?? 0 }, (_, index) => ({ call, count: index + 1 }));
  const shuffled = (points: Point[]): Point[] =>
    points
      .map((point) => ({ point, key: random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ point }) => point);
  const rare = shuffled(CALLS.filter((call) => call !== "pwrite64").flatMap(pointsOf)).slice(
    0,
    Math.floor(wanted * 0.6),
  );
  return [...rare, ...shuffled(pointsOf("pwrite64")).slice(0, wanted - rare.length)];
}

function copy(name: string): string {
  const directory = join(root, name);
  cpSync(template, directory, { recursive: true });
  return directory;
}

async function eachOf<T>(
  items: readonly T[],
  run: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const waiting = items.map((item, index) => ({ item, index }));
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        await run(next.item, next.index);
    }),
  );
}
