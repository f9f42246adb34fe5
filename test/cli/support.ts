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
  options: { commands?: readonly Command[]; signal?: AbortSignal } = {},
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
    env: {},
  };
  const exit = await runCli(
    argv,
    options.commands ?? COMMANDS,
    terminal,
    options.signal ?? new AbortController().signal,
  );
  return { exit, out, error };
}
