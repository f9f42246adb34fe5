/** What a run leaves behind: figures with the machine and the moment they belong to. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchResult, type Cell, digits, type Table } from "./bench.ts";
import { BUSY_LOAD, type Machine } from "./machine.ts";

export interface BenchRecord {
  readonly machine: Machine;
  readonly commit: string;
  /** RFC 3339, UTC. */
  readonly at: string;
  /** Load average over a minute when it began. */
  readonly load: number;
  readonly seconds: number;
  readonly result: BenchResult;
}
export type BenchRecords = Readonly<Record<string, BenchRecord>>;

/** The last figures of every benchmark: what the README shows. */
const RESULTS = join(import.meta.dirname, "results.json");
const README = join(import.meta.dirname, "README.md");

export function circumstances({ machine, commit, at, load, seconds }: BenchRecord): string {
  const busy =
    load > BUSY_LOAD ? " **(the machine was busy: figures are worse than they are)**" : "";
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GiB`,
    `Node ${machine.node}`,
    `ONNX Runtime ${machine.onnxruntime}`,
    `OpenCV ${machine.opencv}`,
    `ffmpeg ${machine.ffmpeg}`,
    `Mosquitto ${machine.mosquitto}`,
    `commit ${commit}`,
    at,
    `load at the start ${load.toFixed(2)}${busy}`,
    `took ${Math.round(seconds)} s`,
  ].join(" · ");
}

export function textOf(name: string, record: BenchRecord): string {
  const { tables, budgets } = record.result;
  return [
    `\n== ${name} ==  ${circumstances(record).replaceAll("**", "")}`,
    ...tables.map(({ title, columns, rows, notes = [] }) =>
      [
        `\n${title}`,
        padded([columns, ...rows.map(texts)]),
        ...notes.map((note) => `  · ${note}`),
      ].join("\n"),
    ),
    ...budgets.map(
      ({ what, budget, measured, isMet }) =>
        `${isMet ? "✓" : "✗"} ${what}: ${measured} (${budget})`,
    ),
    "",
  ].join("\n");
}

/** Keeps what other benchmarks left there. */
export function keepResults(records: BenchRecords): void {
  writeFileSync(RESULTS, `${JSON.stringify({ ...keptResults(), ...records }, null, 1)}\n`);
}

/** Rewrites what lies between `<!-- bench NAME -->` and `<!-- end -->`, and the table of budgets. */
export function updateReadme(names: readonly string[]): void {
  const records = keptResults();
  let text = readFileSync(README, "utf8");
  for (const name of names) {
    const record = records[name];
    text = between(text, name, record === undefined ? "not measured" : markdownOf(record));
  }
  writeFileSync(README, between(text, "budgets", budgetsOf(names, records)));
}

function keptResults(): BenchRecords {
  return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, "utf8")) as BenchRecords) : {};
}

function between(text: string, name: string, content: string): string {
  const [from, to] = [`<!-- bench ${name} -->`, "<!-- end -->"];
  const start = text.indexOf(from);
  const end = text.indexOf(to, start);
  if (start < 0 || end < 0) throw new Error(`${README}: no place for ${name}: ${from} … ${to}`);
  return `${text.slice(0, start + from.length)}\n${content}\n${text.slice(end)}`;
}

function markdownOf(record: BenchRecord): string {
  const tables = record.result.tables.map(tableMarkdown);
  return [`${circumstances(record)}`, ...tables].join("\n\n");
}

function tableMarkdown({ title, columns, rows, notes = [] }: Table): string {
  const table = markdownTable([columns, ...rows.map(texts)]);
  return [`**${title}**`, table, ...(notes.length === 0 ? [] : [notes.join(" · ")])].join("\n\n");
}

function budgetsOf(names: readonly string[], records: BenchRecords): string {
  const rows = names.flatMap((name) => {
    const record = records[name];
    if (record === undefined) return [[name, "everything", "", "not measured", ""]];
    const load = record.load > BUSY_LOAD ? ` (load ${record.load.toFixed(1)})` : "";
    return record.result.budgets.map(({ what, budget, measured, isMet }) => [
      name,
      what,
      budget,
      `${measured}${load}`,
      isMet ? "✓" : "✗",
    ]);
  });
  return markdownTable([["bench", "what", "budget", "measured", ""], ...rows]);
}

function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, index) => (index === 0 ? "---" : "---:")).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

function padded(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, at) =>
          at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
        )
        .join("  "),
    )
    .map((line) => `  ${line}`)
    .join("\n");
}

const texts = (row: readonly Cell[]): readonly string[] =>
  row.map((cell) => (typeof cell === "number" ? digits(cell) : cell));
