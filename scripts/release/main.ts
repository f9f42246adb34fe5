/** Entry of `ostiary-release`: argv and signals in, exit code out. */
import { runCli } from "../../src/cli/cli.ts";
import { terminalOf } from "../../src/cli/process-terminal.ts";
import { COMMANDS } from "./commands.ts";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.once("SIGINT", () => stop.abort());

process.exitCode = await runCli(
  process.argv.slice(2),
  COMMANDS,
  terminalOf(process),
  stop.signal,
  "ostiary-release",
);
