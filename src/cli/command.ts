/** One command of the CLI: its syntax, and its code, loaded when it is called. */
import type { Arguments, Syntax } from "./arguments.ts";
import type { ExitCode } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

export interface CommandContext {
  readonly args: Arguments;
  readonly terminal: Terminal;
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

export type Action = (context: CommandContext) => Promise<ExitCode>;

export interface Command extends Syntax {
  readonly summary: string;
  /** Imports the module, so that a command loads no native code that it does not need. */
  readonly load: () => Promise<Action>;
}
