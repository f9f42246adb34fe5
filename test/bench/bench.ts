/** What a benchmark is given, and what it gives back. */

export interface BenchContext {
  /** Few rounds, to try the code: its figures mean nothing. */
  readonly quick: boolean;
  /** One line of progress. */
  readonly say: (line: string) => void;
}

export type Cell = string | number;

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** What a reader must know to read it. */
  readonly notes?: readonly string[];
}

/** One line of design §12 beside what was measured. */
export interface Budget {
  readonly what: string;
  readonly budget: string;
  readonly measured: string;
  readonly isMet: boolean;
}

export interface BenchResult {
  readonly tables: readonly Table[];
  readonly budgets: readonly Budget[];
}

export type Bench = (context: BenchContext) => Promise<BenchResult>;

/** @param unit goes behind both numbers */
export function atMost(what: string, limit: number, measured: number, unit: string): Budget {
  const isMet = measured <= limit;
  return { what, budget: `≤ ${limit} ${unit}`, measured: `${digits(measured)} ${unit}`, isMet };
}

export function atLeast(what: string, limit: number, measured: number): Budget {
  return {
    what,
    budget: `≥ ${limit}`,
    measured: String(Number(measured.toFixed(5))),
    isMet: measured >= limit,
  };
}

/** Three significant digits; whole numbers from 100 on. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
