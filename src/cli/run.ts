/** `run`: the daemon itself. */
import { resolve } from "node:path";
import { Appliance } from "../app.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import { createClock } from "../system/clock.ts";
import { Notifier } from "../system/notify.ts";
import { createRandom } from "../system/random.ts";
import { watchdogPeriodMs } from "../system/watchdog.ts";
import { createLog } from "../telemetry/log.ts";
import type { Action } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT } from "./exit.ts";
import { version } from "./version.ts";

/** The pack that comes with the code. */
const BUNDLED_PACK = resolve(import.meta.dirname, "../../models/bundled");

export const run: Action = async (context) => {
  const { env } = context.terminal;
  const { config } = await loadConfigOf(context);
  const clock = createClock();
  const { log, setLevel, flush } = createLog({ level: config.telemetry.level, journald: env["JOURNAL_STREAM"] !== undefined });
  await using notifier = new Notifier({ socket: env["NOTIFY_SOCKET"] }, { log });
  try {
    await using appliance = await Appliance.open(
      {
        config,
        version: version(),
        packDirectory: config.paths.pack ?? BUNDLED_PACK,
        credentialsDirectory: env["CREDENTIALS_DIRECTORY"],
        watchdogMs: watchdogPeriodMs(env["WATCHDOG_USEC"]),
      },
      { clock, random: createRandom(), log, notifier, setLogLevel: setLevel },
      context.signal,
    );
    const reload = (): void => {
      notifier.reloading();
      void loadConfigOf(context)
        .then((loaded) => appliance.reload(loaded.config))
        .catch((fault: unknown) => log.error({ code: codeOf(fault) }, `the configuration was not read again: ${messageOf(fault)}`))
        .finally(() => notifier.ready("running"));
    };
    process.on("SIGHUP", reload);
    try {
      await appliance.run(context.signal);
    } finally {
      process.off("SIGHUP", reload);
    }
    return EXIT.ok;
  } finally {
    flush();
  }
};
