/** A table of labels for pictures, as FairFace has it: a CSV with a column `file`, without quoting. */
import { basename } from "node:path";

/**
 * @param columns which of the table's columns count
 * @returns `column: value` by the picture's name without folder and extension; or what is wrong
 */
export function labelsIn(
  text: string,
  columns: readonly string[],
): ReadonlyMap<string, readonly string[]> | string {
  const [head = "", ...rows] = text.split(/\r?\n/);
  const names = head.split(",");
  const at = names.indexOf("file");
  if (at < 0) return `has no column "file" but ${names.join(", ")}`;
  const indexes = columns.map((column) => names.indexOf(column));
  const missing = columns.find((_, index) => indexes[index] === -1);
  if (missing !== undefined) return `has no column "${missing}" but ${names.join(", ")}`;
  const labels = new Map<string, readonly string[]>();
  for (const row of rows) {
    const cells = row.split(",");
    const file = cells[at];
    if (file === undefined || file === "") continue;
    const groups = columns.map(
      (column, index) => `${column}: ${cells[indexes[index] ?? -1] ?? ""}`,
    );
    labels.set(basename(file).replace(/\.[^.]*$/, ""), groups);
  }
  return labels;
}
