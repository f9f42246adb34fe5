/** What the demo shows: a table that redraws itself on a terminal, or one line per event elsewhere. */
import type { Terminal } from "../../src/cli/terminal.ts";

export interface DecisionRow {
  readonly time: string;
  readonly door: string;
  readonly outcome: "grant" | "deny";
  readonly reason: string;
  readonly identity: string;
  readonly score: string;
  /** From the first usable frame to the decision here, ms. */
  readonly latencyMs: number | undefined;
}

/** SGR codes. */
const [PLAIN, BOLD, DIM, RED, GREEN] = ["0", "1", "2", "31", "32"] as const;

const ROWS_SHOWN = 8;
const HEAD = ["time", "door", "decision", "reason", "who", "score", "latency"] as const;
const WIDTHS = [13, 10, 9, 16, 12, 6, 0] as const;

export class View {
  readonly #terminal: Terminal;
  readonly #facts = new Map<string, string>();
  readonly #rows: DecisionRow[] = [];
  #act = "";
  #drawnLines = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** A lasting fact about the set-up, e.g. models or camera; shown above the table. */
  fact(name: string, text: string): void {
    if (this.#facts.get(name) === text) return;
    this.#facts.set(name, text);
    if (!this.#terminal.interactive && name !== "camera")
      this.#terminal.error(`${name.padEnd(9)} ${text}\n`);
    this.#draw();
  }

  /** Camera state changes several times a second: lines are printed only for its first word. */
  camera(state: string, detail: string): void {
    const before = this.#facts.get("camera")?.split(" ")[0];
    this.#facts.set("camera", `${state} ${detail}`.trim());
    if (!this.#terminal.interactive && before !== state)
      this.#terminal.error(`camera    ${state} ${detail}\n`);
    this.#draw();
  }

  act(text: string): void {
    this.#act = text;
    if (!this.#terminal.interactive) this.#terminal.error(`\n▶ ${text}\n`);
    this.#draw();
  }

  decision(row: DecisionRow): void {
    this.#rows.push(row);
    if (!this.#terminal.interactive) {
      if (this.#rows.length === 1) this.#terminal.error(`${lineOf(HEAD)}\n`);
      this.#terminal.error(`${lineOf(cellsOf(row))}\n`);
    }
    this.#draw();
  }

  /** Leaves the table where it is; what follows is printed below. */
  close(): void {
    this.#drawnLines = 0;
  }

  #draw(): void {
    if (!this.#terminal.interactive) return;
    const rows = this.#rows.slice(-ROWS_SHOWN);
    const lines = [
      this.#styled(BOLD, "Ostiary · the door in front of you"),
      ...[...this.#facts].map(([name, text]) => this.#styled(PLAIN, `  ${name.padEnd(9)} ${text}`)),
      "",
      this.#styled(BOLD, `  ▶ ${this.#act}`),
      "",
      this.#styled(DIM, `  ${lineOf(HEAD)}`),
      ...rows.map((row) =>
        this.#styled(row.outcome === "grant" ? GREEN : RED, `  ${lineOf(cellsOf(row))}`),
      ),
      "",
    ];
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A\r` : "";
    this.#terminal.error(`${up}\x1b[J${lines.join("\n")}\n`);
    this.#drawnLines = lines.length;
  }

  /** Cut to the terminal's width: a wrapped line would spoil the count of lines to redraw. */
  #styled(style: string, text: string): string {
    const cut = [...text].slice(0, Math.max(20, this.#terminal.columns() - 1)).join("");
    return `\x1b[${style}m${cut}\x1b[0m`;
  }
}

function cellsOf(row: DecisionRow): readonly string[] {
  const outcome = row.outcome === "grant" ? "✓ GRANT" : "✗ DENY";
  const latency = row.latencyMs === undefined ? "" : `${Math.round(row.latencyMs)} ms`;
  return [row.time, row.door, outcome, row.reason, row.identity, row.score, latency];
}

const lineOf = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => cell.padEnd(WIDTHS[i] ?? 0))
    .join(" ")
    .trimEnd();
