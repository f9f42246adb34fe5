/** The daemon as a real child process: its log, its children, its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { monotonicNow } from "./tap.ts";
import { PATIENCE_MS, within } from "./waiting.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const KEPT_BYTES = 4_000_000;

export type LogLine = Readonly<Record<string, unknown>>;

export class Daemon {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = "";

  /**
   * @param env is all that the process gets, beside what every program needs. With $OSTIARY_E2E_LOG the
   *   log is also appended to that file
   */
  constructor(configFile: string, env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(
      process.execPath,
      [join(ROOT, "src/main.ts"), "run", "--config", configFile],
      {
        cwd: ROOT,
        stdio: ["ignore", "pipe", "pipe"],
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
      },
    );
    const copy = process.env["OSTIARY_E2E_LOG"];
    const keep = (chunk: Buffer): void => {
      if (copy !== undefined) appendFileSync(copy, chunk);
      this.#output = (this.#output + chunk.toString("utf8")).slice(-KEPT_BYTES);
    };
    this.#child.stdout?.on("data", keep);
    this.#child.stderr?.on("data", keep);
    this.#exited = once(this.#child, "close");
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Everything it wrote, stderr included. */
  get output(): string {
    return this.#output;
  }

  /** The lines of the log. */
  get log(): readonly LogLine[] {
    return this.#output.split("\n").flatMap((line) => {
      try {
        return [JSON.parse(line) as LogLine];
      } catch {
        return [];
      }
    });
  }

  /** For the message of a failed test. */
  get tail(): string {
    return this.#output.split("\n").slice(-25).join("\n");
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** @returns exit code, or the signal's name, and how long it took, ms. @throws when it runs on */
  async ended(): Promise<{ readonly code: number | string | null; readonly ms: number }> {
    const from = monotonicNow();
    await within(this.#exited, "the daemon ends", PATIENCE_MS, () => this.tail);
    return { code: this.#child.exitCode ?? this.#child.signalCode, ms: monotonicNow() - from };
  }

  /** The vision process. @returns undefined while there is none */
  get visionPid(): number | undefined {
    return childrenOf(this.pid).find((pid) => /vision[/]main[.][jt]s/.test(commandLineOf(pid)));
  }

  get decoderPids(): readonly number[] {
    return childrenOf(this.pid)
      .filter((pid) => /^[^\0]*ffmpeg\0/.test(commandLineOf(pid)))
      .sort();
  }
}

/** Direct children, by the kernel's own list. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
        .split(" ")
        .filter(Boolean)
        .map(Number),
    );
  } catch {
    return [];
  }
}

/** Arguments separated by NUL; empty when the process is gone. */
export function commandLineOf(pid: number): string {
  return procFile(pid, "cmdline");
}

export function environmentOf(pid: number): string {
  return procFile(pid, "environ");
}

function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

export function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}
