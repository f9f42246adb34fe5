/** The demo, as a newcomer runs it: real RTSP, real broker, the daemon as a process. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bundledPack } from "../support/pack.ts";

const ROOT = join(import.meta.dirname, "../..");

interface Report {
  readonly ok: boolean;
  readonly packId: string;
  readonly verified: number;
  readonly refused: number;
  readonly acts: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly detail: string;
  }[];
}

test("the demo denies a stranger, enrols, grants, erases and denies again, with nothing but the checkout", {
  timeout: 240_000,
}, async (context) => {
  const empty = mkdtempSync(join(tmpdir(), "ostiary-nothing-shared-"));
  context.after(() => rmSync(empty, { recursive: true, force: true }));
  const child = spawn(join(ROOT, "scripts/ostiary"), ["demo", "--json"], {
    cwd: ROOT,
    env: { ...process.env, OSTIARY_SHARED: empty },
    stdio: ["ignore", "pipe", "pipe"],
  });
  context.after(() => child.kill("SIGTERM"));
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  assert.equal(code, 0, errors);
  const report = JSON.parse(output) as Report;
  assert.deepEqual(
    report.acts.map(({ ok }) => ok),
    [true, true, true, true, true],
    errors,
  );
  assert.ok(report.verified >= 3, "every decision came over the broker and was verified");
  assert.equal(report.refused, 0);
  assert.equal(report.packId, bundledPack().pack.id);
});
