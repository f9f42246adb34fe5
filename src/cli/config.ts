/** `config print` and `config schema`. */
import { printConfig } from "../config/print.ts";
import { referenceSchema } from "../config/reference.ts";
import type { Action } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT } from "./exit.ts";

export const configPrint: Action = async (context) => {
  const { config } = await loadConfigOf(context);
  context.terminal.out(printConfig(config, context.args.flag("json") ? "json" : "yaml"));
  return EXIT.ok;
};

export const configSchema: Action = async ({ terminal }) => {
  terminal.out(referenceSchema());
  return EXIT.ok;
};
