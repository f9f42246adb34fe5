/** `run`: the daemon in the foreground. */
import { runAppliance } from "../app.ts";
import { createLog } from "../telemetry/log.ts";
import type { Action } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT } from "./exit.ts";

export const run: Action = async (context) => {
  const { terminal, signal } = context;
  const { file, config } = await loadConfigOf(context);
  const journald = terminal.env["JOURNAL_STREAM"] !== undefined;
  const { log, setLevel, flush } = createLog({ level: config.telemetry.level, journald });
  try {
    await runAppliance(config, { log, setLevel, configFile: file, env: terminal.env }, signal);
    return EXIT.ok;
  } finally {
    flush();
  }
};
