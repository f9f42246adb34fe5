/**
 * `npm run bench -- [NAME…] [--quick] [--json FILE] [--update-readme]`: the budgets of the design on this
 * machine. Each benchmark runs alone in a process of its own, so that none carries another's memory.
 * A missed budget is shown and fails nothing.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Bench, BenchContext, BenchResult } from "./bench.ts";
import { BUSY_LOAD, commitNow, loadNow, machineFacts } from "./machine.ts";
import { type BenchRecord, keepResults, textOf, updateReadme } from "./record.ts";

const BENCHES: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  face: () => import("./face.ts"),
  search: () => import("./search.ts"),
  start: () => import("./start.ts"),
  decision: () => import("./decision.ts"),
  camera: () => import("./camera.ts"),
  memory: () => import("./memory.ts"),
  update: () => import("./update.ts"),
  soak: () => import("./soak.ts"),
};
/** Too long to run unasked. */
const BY_NAME_ONLY = new Set(["soak"]);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    "update-readme": { type: "boolean", default: false },
    /** How this program calls itself. */
    child: { type: "boolean", default: false },
  },
});
const names = Object.keys(BENCHES);

if (values.child) await runHere(positionals[0] ?? "");
else await runAll();

async function runHere(name: string): Promise<void> {
  const loaded = await BENCHES[name]?.();
  if (loaded === undefined) throw new Error(`no benchmark ${name}`);
  const context: BenchContext = {
    quick: values.quick,
    say: (line) => process.stderr.write(`${name}: ${line}\n`),
  };
  const result = await loaded.bench(context);
  process.send?.(result, () => process.exit(0));
}

async function runAll(): Promise<void> {
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new Error(`no benchmark ${unknown.join(", ")}; there are ${names.join(", ")}`);
  const isUpdate = values["update-readme"];
  if (values.quick && isUpdate) throw new Error("--quick figures mean nothing: not for the README");
  const machine = machineFacts();
  const records: Record<string, BenchRecord> = {};
  const wanted =
    positionals.length > 0 ? positionals : names.filter((name) => !BY_NAME_ONLY.has(name));
  for (const name of wanted) {
    const load = loadNow();
    if (load > BUSY_LOAD)
      console.error(`${name}: the load is ${load.toFixed(2)}: others use this machine too`);
    const started = performance.now();
    const at = new Date().toISOString();
    const result = await inChild(name);
    if (result === undefined) {
      process.exitCode = 1;
      continue;
    }
    const seconds = (performance.now() - started) / 1000;
    const record = { machine, commit: commitNow(), at, load, seconds, result };
    records[name] = record;
    console.log(textOf(name, record));
    // At once: a later benchmark that fails must not cost what this one found.
    if (isUpdate) keepResults({ [name]: record });
  }
  if (values.json !== undefined)
    writeFileSync(
      values.json,
      `${JSON.stringify({ schema: 1, quick: values.quick, records }, null, 1)}\n`,
    );
  if (isUpdate) updateReadme(names);
}

/** @returns undefined when it failed; it has said why */
async function inChild(name: string): Promise<BenchResult | undefined> {
  const child = fork(
    import.meta.filename,
    ["--child", ...(values.quick ? ["--quick"] : []), name],
    // As JSON an infinite error would arrive as nothing.
    { serialization: "advanced" },
  );
  let result: BenchResult | undefined;
  child.on("message", (message) => {
    result = message as BenchResult;
  });
  await once(child, "close");
  return result;
}
