/** What is wrong with a configuration, in the words of whoever wrote it. */
import type { z } from "zod";
import { keysAt, type Schema } from "./json-schema.ts";

type Issue = z.core.$ZodIssue;

/** `a.b[2].c` */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const step of path)
    text += typeof step === "number" ? `[${step}]` : `${text === "" ? "" : "."}${String(step)}`;
  return text === "" ? "(top level)" : text;
}

/** One line for each problem: `key.path: what is wrong; fix`. Never shows a value: it may be a secret. */
export function problemLines(
  issues: readonly Issue[],
  schema: Schema,
  path: readonly PropertyKey[] = [],
): readonly string[] {
  return issues.flatMap((issue) => linesOf(issue, schema, [...path, ...issue.path]));
}

function linesOf(issue: Issue, schema: Schema, path: readonly PropertyKey[]): readonly string[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, path);
    return issue.keys.map(
      (key) => `${pathText([...path, key])}: no such key; ${suggestion(key, known)}`,
    );
  }
  if (issue.code === "invalid_union") return [`${pathText(path)}: ${unionProblem(issue)}`];
  if (
    issue.code === "invalid_type" &&
    issue.input === undefined &&
    !issue.message.includes("received")
  ) {
    return [`${pathText(path)}: ${issue.message}`];
  }
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined")) {
    return [`${pathText(path)}: is missing; write a ${issue.expected}`];
  }
  return [`${pathText(path)}: ${issue.message}`];
}

/** The alternative that came furthest: the one whose complaints lie deepest. */
function unionProblem(issue: Extract<Issue, { code: "invalid_union" }>): string {
  const nested = issue.errors.flat();
  const deepest = nested.reduce<Issue | undefined>(
    (best, each) => (best === undefined || each.path.length > best.path.length ? each : best),
    undefined,
  );
  if (deepest === undefined) return issue.message;
  return deepest.path.length === 0
    ? deepest.message
    : `${pathText(deepest.path)}: ${deepest.message}`;
}

function suggestion(key: string, known: readonly string[]): string {
  const nearest = nearestOf(key, known);
  if (nearest !== undefined) return `did you mean "${nearest}"?`;
  return known.length === 0 ? "remove it" : `known here: ${known.slice(0, 20).join(", ")}`;
}

/** The known word at the least edit distance, if it is near enough to be a typing error. */
export function nearestOf(word: string, known: readonly string[]): string | undefined {
  let best: { readonly word: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(plain(word), plain(candidate));
    if (best === undefined || distance < best.distance) best = { word: candidate, distance };
  }
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3))
    ? best.word
    : undefined;
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[_-]/g, "");

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
