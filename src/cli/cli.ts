/** argv → command → exit code. Every fault becomes one line on stderr. */
import { messageOf } from "../lib/fault.ts";
import { helpOf, parseArguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT, type ExitCode, exitOf, usage } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

/** @returns the process's exit code; never rejects */
export async function runCli(
  argv: readonly string[],
  commands: readonly Command[],
  terminal: Terminal,
  signal: AbortSignal,
  program = "ostiary",
): Promise<ExitCode> {
  try {
    if (argv.length === 0 || argv[0] === "help" || argv[0] === "--help" || argv[0] === "-h") {
      terminal.out(overview(commands, program));
      return argv.length === 0 ? EXIT.usage : EXIT.ok;
    }
    const { command, rest } = commandOf(argv, commands, program);
    if (rest.includes("--help") || rest.includes("-h")) {
      terminal.out(helpOf(command, command.summary, program));
      return EXIT.ok;
    }
    const args = parseArguments(rest, command);
    const action = await command.load();
    return await action({ args, terminal, signal });
  } catch (fault) {
    if (signal.aborted) return EXIT.interrupted;
    terminal.error(`${program}: ${oneLine(messageOf(fault))}\n`);
    if (terminal.env["OSTIARY_DEBUG"] !== undefined && fault instanceof Error)
      terminal.error(`${fault.stack}\n`);
    return exitOf(fault);
  }
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, "; ").trim();

function commandOf(argv: readonly string[], commands: readonly Command[], program: string) {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(" ");
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined && argv.length >= words) return { command, rest: argv.slice(words) };
  }
  const family = commands.filter((candidate) => candidate.name.startsWith(`${argv[0]} `));
  if (family.length > 0)
    throw usage(
      `"${argv[0]}" needs one of: ${family.map((each) => each.name.split(" ")[1]).join(", ")}`,
    );
  throw usage(`there is no command "${argv[0]}": see ${program} help`);
}

function overview(commands: readonly Command[], program: string): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return [
    `${program} COMMAND [options]`,
    "",
    ...lines,
    "",
    `${program} COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 wrong usage,`,
    "3 not found or refused, 4 daemon or broker not reachable, 5 configuration invalid, 130 interrupted.",
    "",
  ].join("\n");
}
