/** Kills the harness at a chosen system call and says what a store must look like afterwards. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IdentityId } from "../../src/lib/brand.ts";
import { deviceKeyOf } from "../../src/store/device-key.ts";
import { StoreLimits } from "../../src/store/limits.ts";
import { Store } from "../../src/store/store.ts";
import { now, space, stamp } from "../store/support.ts";
import { RecordingLog } from "../support/log.ts";
import { within } from "../support/waiting.ts";
import type { HarnessLine } from "./store-harness.ts";

const KID = "0123456789abcdef";
/** It takes a second or two on an idle machine. */
const RUN_MS = 100_000;
const HARNESS = join(import.meta.dirname, "store-harness.ts");

export type KillAt =
  | { readonly kind: "syscall"; readonly name: string; readonly nth: number }
  /** From the nth on, every such call fails with that error: a full or a broken disk. */
  | {
      readonly kind: "failure";
      readonly name: string;
      readonly error: "ENOSPC" | "EIO";
      readonly nth: number;
    }
  | { readonly kind: "acknowledgement"; readonly nth: number };

export interface Crash {
  readonly seed: number;
  readonly commands: number;
  readonly at: KillAt;
}

interface Person {
  readonly enabled: boolean;
  readonly templates: number;
  /** Heads of everything sealed for this person since the put. */
  readonly nonces: readonly string[];
}
type Model = ReadonlyMap<string, Person>;

/** @returns whether the process was killed, or failed by the disk; false when it came to its end before */
export async function crashAndCheck(crash: Crash): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-crash-"));
  try {
    const { killed, lines } = await runHarness(directory, crash);
    checkAfter(directory, lines);
    return killed;
  } catch (cause) {
    throw new Error(`after ${JSON.stringify(crash)}`, { cause });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runHarness(
  directory: string,
  { seed, commands, at }: Crash,
): Promise<{ killed: boolean; lines: HarnessLine[] }> {
  const harness = [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    HARNESS,
    directory,
    String(seed),
    String(commands),
  ];
  // strace counts per thread: one file-system thread, and SQLite's calls are all on the main one.
  const traced =
    at.kind === "acknowledgement"
      ? []
      : [
          "strace",
          "-f",
          "-qq",
          "-o",
          "/dev/null",
          `-etrace=${at.name}`,
          `-einject=${at.name}:${injection(at)}`,
        ];
  const [program = "", ...rest] = [...traced, ...harness];
  const child = spawn(program, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
  });
  let text = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (at.kind === "acknowledgement" && text.split('"acknowledged"').length > at.nth)
      child.kill("SIGKILL");
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on("close", (...how) => resolve(how));
  });
  const [code, signal] = await within(ended, "the harness ends", RUN_MS, () => errors).finally(() =>
    child.kill("SIGKILL"),
  );
  const failed = at.kind === "failure" && code === 1 && /code: 'store_(full|io)'/.test(errors);
  const killed = signal === "SIGKILL" || code === 137 || failed;
  assert.ok(killed || code === 0, `the harness failed by itself (${code}): ${errors}`);
  const complete = text.slice(0, text.lastIndexOf("\n") + 1);
  return {
    killed,
    lines: complete
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as HarnessLine),
  };
}

function injection(at: Exclude<KillAt, { kind: "acknowledgement" }>): string {
  return at.kind === "syscall"
    ? `signal=SIGKILL:when=${at.nth}`
    : `error=${at.error}:when=${at.nth}+`;
}

function checkAfter(directory: string, lines: readonly HarnessLine[]): void {
  let model: Model = new Map();
  let pending: Extract<HarnessLine, { kind: "begin" }> | undefined;
  const acknowledged: Extract<HarnessLine, { kind: "acknowledged" }>[] = [];
  let gone: string[] = [];
  for (const line of lines) {
    if (line.kind === "begin") pending = line;
    if (line.kind !== "acknowledged" || pending === undefined) continue;
    if (pending.step === "erase")
      gone = [
        ...gone,
        ...(model.get(pending.identityId)?.nonces ?? []),
        ...line.nonces.slice(0, -1),
      ];
    // The last one drawn sealed the answer, which outlives the person.
    model = applied(model, pending, line.nonces.slice(0, -1));
    acknowledged.push(line);
    pending = undefined;
  }
  assertNowhere(directory, gone, "when it was killed");
  const bytes = (size: number): Uint8Array => randomBytes(size);
  using store = Store.open(
    {
      directory,
      keys: deviceKeyOf(new Uint8Array(32).fill(5), bytes),
      limits: StoreLimits.parse({}),
    },
    { log: new RecordingLog(), randomBytes: bytes },
  );
  const pendingDone = pending !== undefined && store.inbox.answered(KID, pending.id) !== undefined;
  if (pendingDone && pending?.step === "erase")
    gone = [...gone, ...(model.get(pending.identityId)?.nonces ?? [])];
  assertNowhere(directory, gone, "after it was opened again");
  assertEqualsModel(
    store,
    pending !== undefined && pendingDone ? applied(model, pending, []) : model,
  );
  for (const { id, answer } of acknowledged)
    assert.deepEqual(store.inbox.answered(KID, id), answer);
  const done = acknowledged.length + (pendingDone ? 1 : 0);
  const events = store.outbox.history(0, 1000).map((event) => event.seq);
  assert.deepEqual(
    events,
    Array.from({ length: done }, (_, index) => index + 1),
  );
  assertExactlyOnce(store, acknowledged.at(-1)?.seq);
  assert.deepEqual(store.check().problems, []);
}

function applied(
  model: Model,
  { step, identityId }: { readonly step: string; readonly identityId: string },
  nonces: readonly string[],
): Model {
  const next = new Map(model);
  const before = model.get(identityId) ?? { enabled: true, templates: 0, nonces: [] };
  const sealed = [...before.nonces, ...nonces];
  if (step === "erase") next.delete(identityId);
  if (step === "put") next.set(identityId, { ...before, enabled: true, nonces: sealed });
  if (step === "disable") next.set(identityId, { ...before, enabled: false, nonces: sealed });
  if (step === "add")
    next.set(identityId, { ...before, templates: before.templates + 2, nonces: sealed });
  return next;
}

function assertEqualsModel(store: Store, model: Model): void {
  const found = store.record.listIdentities(undefined, 1000);
  const seen = Object.fromEntries(
    found.map(({ id, enabled }) => [
      id,
      { enabled, templates: store.record.templateCount(id, space) },
    ]),
  );
  const expected = Object.fromEntries(
    [...model].map(([id, { enabled, templates }]) => [id, { enabled, templates }]),
  );
  assert.deepEqual(seen, expected);
  const readable = new Map<IdentityId, number>();
  for (const { identityId } of store.record.templates(space))
    readable.set(identityId, (readable.get(identityId) ?? 0) + 1);
  for (const [id, { templates }] of model)
    assert.equal(readable.get(id as IdentityId) ?? 0, templates);
}

/** A number that was used is not accepted under another id, and a known id has no second effect. */
function assertExactlyOnce(store: Store, lastSeq: number | undefined): void {
  if (lastSeq === undefined) return;
  const never = (): never => assert.fail("an effect ran again");
  assert.equal(store.inbox.commitCommand({ ...stamp(lastSeq), at: now }, never).kind, "repeated");
  assert.equal(
    store.inbox.commitCommand({ ...stamp(lastSeq, { id: "command-other" }), at: now }, never).kind,
    "replayed",
  );
}

function assertNowhere(directory: string, nonces: readonly string[], when: string): void {
  for (const name of readdirSync(directory)) {
    const content = readFileSync(join(directory, name));
    for (const nonce of nonces)
      assert.ok(!content.includes(Buffer.from(nonce, "hex")), `${name} holds erased bytes ${when}`);
  }
}
