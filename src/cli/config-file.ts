/** Which configuration file a command means. */
import { dirname, join, resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import type { CommandContext } from "./command.ts";

export const DEFAULT_CONFIG = "/etc/ostiary/ostiary.yaml";

export interface LoadedConfig {
  readonly file: string;
  readonly config: Config;
}

export const configFileOf = ({
  args,
  terminal,
}: Pick<CommandContext, "args" | "terminal">): string =>
  resolve(args.optional("config") ?? terminal.env["OSTIARY_CONFIG"] ?? DEFAULT_CONFIG);

/** @throws ConfigInvalid, Fault `config_unreadable` */
export async function loadConfigOf(
  context: Pick<CommandContext, "args" | "terminal">,
): Promise<LoadedConfig> {
  const file = configFileOf(context);
  const credentialsDirectory = context.terminal.env["CREDENTIALS_DIRECTORY"];
  return { file, config: await loadConfig(file, { credentialsDirectory }) };
}

export const socketOf = ({ config }: LoadedConfig): string =>
  join(config.paths.runtime, "control.sock");

/** Where `install.sh` puts the key that systemd hands over as `credential:device-key`. */
export const installedKeyOf = ({ file }: LoadedConfig): string => join(dirname(file), "device.key");
