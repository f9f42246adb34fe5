/** Runs the CLI in this process and keeps what it said. */
import { runCli } from "../../src/cli/cli.ts";
import type { Command } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";

export interface CliRun {
  readonly exit: number;
  readonly out: string;
  readonly error: string;
}

export async function cli(
  argv: readonly string[],
  options: {
    readonly commands?: readonly Command[];
    readonly signal?: AbortSignal;
    readonly env?: Readonly<Record<string, string>>;
    readonly program?: string;
  } = {},
): Promise<CliRun> {
  let [out, error] = ["", ""];
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    error: (text: string) => {
      error += text;
    },
    interactive: false,
    columns: () => 80,
    env: options.env ?? {},
  };
  const exit = await runCli(
    argv,
    options.commands ?? COMMANDS,
    terminal,
    options.signal ?? new AbortController().signal,
    options.program,
  );
  return { exit, out, error };
}
