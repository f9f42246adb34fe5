/** Where a command reads and writes. Results go to stdout, everything for the eye to stderr. */

export interface Terminal {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  /** True when stderr is a terminal that understands redrawing. */
  readonly interactive: boolean;
  /** Width of the terminal in characters, now; 80 where there is none. */
  readonly columns: () => number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One JSON document per command, on stdout. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value, null, 2)}\n`);
}

/** Columns as wide as their widest cell. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) =>
    Math.max(cell.length, ...rows.map((row) => (row[i] ?? "").length)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

/** A bar on a terminal, every tenth elsewhere. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #label: string;
  readonly #total: number;
  #shown = -1;

  constructor(terminal: Terminal, label: string, total: number) {
    this.#terminal = terminal;
    this.#label = label;
    this.#total = Math.max(1, total);
  }

  update(done: number): void {
    const percent = Math.floor((100 * done) / this.#total);
    const shown = this.#terminal.interactive ? percent : Math.floor(percent / 10) * 10;
    if (shown === this.#shown) return;
    this.#shown = shown;
    const bar = "#".repeat(Math.floor(percent / 4)).padEnd(25, ".");
    const end = this.#terminal.interactive && done < this.#total ? "" : "\n";
    this.#terminal.error(
      `${this.#terminal.interactive ? "\r" : ""}${this.#label} [${bar}] ${percent} % (${done}/${this.#total})${end}`,
    );
  }
}
