/** Entry: argv and signals in, exit code out. */
import { setTimeout } from "node:timers";
import { runCli } from "./cli/cli.ts";
import { COMMANDS } from "./cli/commands.ts";
import { terminalOf } from "./cli/process-terminal.ts";

/** The only hard stop: whatever hangs after the orderly end is cut off. */
const HARD_STOP_MS = 10_000;

const stop = new AbortController();
const stopped = (): void => {
  stop.abort();
  setTimeout(() => process.exit(process.exitCode ?? 1), HARD_STOP_MS).unref();
};
process.once("SIGTERM", stopped);
process.once("SIGINT", stopped);

process.exitCode = await runCli(process.argv.slice(2), COMMANDS, terminalOf(process), stop.signal);
