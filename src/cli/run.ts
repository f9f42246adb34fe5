/** `run`: the daemon in the foreground, as systemd starts it. SIGHUP reads the configuration again. */
import { readFile } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { Appliance } from "../app.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { createClock } from "../system/clock.ts";
import { Notifier } from "../system/notify.ts";
import { createRandom } from "../system/random.ts";
import { watchdogPeriodMs } from "../system/watchdog.ts";
import { createLog } from "../telemetry/log.ts";
import { packDirectoryOf } from "./check-pack.ts";
import type { Action, CommandContext } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT, refused } from "./exit.ts";

export const run: Action = async (context) => {
  const { terminal, signal } = context;
  const { env } = terminal;
  const { config } = await loadConfigOf(context);
  const packDirectory = await packDirectoryOf(config);
  if (packDirectory === undefined)
    throw refused(
      "no_pack",
      "no pack is bundled or configured: ostiary models import …, then set paths.pack",
    );
  const handle = createLog({
    level: config.telemetry.level,
    journald: env["JOURNAL_STREAM"] !== undefined,
  });
  const { log } = handle;
  await using notifier = new Notifier({ socket: env["NOTIFY_SOCKET"] }, { log });
  const options = {
    config,
    version: await versionOf(),
    packDirectory,
    credentialsDirectory: env["CREDENTIALS_DIRECTORY"],
    watchdogMs: watchdogPeriodMs(env["WATCHDOG_USEC"]),
  };
  const deps = {
    clock: createClock(),
    random: createRandom(),
    log,
    notifier,
    setLogLevel: handle.setLevel,
  };
  try {
    await using appliance = await Appliance.open(options, deps, signal);
    // Otherwise kept at the end of the process, which may be a power cut.
    flushCompileCache();
    using _reloads = onHangUp(() => reload(context, appliance, notifier, log));
    await appliance.run(signal);
    return EXIT.ok;
  } catch (fault) {
    if (signal.aborted) return EXIT.ok;
    log.error({ code: codeOf(fault) }, messageOf(fault));
    throw fault;
  } finally {
    handle.flush();
  }
};

/** A configuration that is not valid changes nothing: the old one stays in force. */
async function reload(
  context: CommandContext,
  appliance: Appliance,
  notifier: Notifier,
  log: Log,
): Promise<void> {
  notifier.reloading();
  try {
    const { config } = await loadConfigOf(context);
    const restart = await appliance.reload(config);
    notifier.ready(
      restart.length === 0 ? "running" : `running; restart to apply ${restart.join(", ")}`,
    );
  } catch (fault) {
    log.error({ code: codeOf(fault) }, `the configuration was not reloaded: ${messageOf(fault)}`);
    notifier.ready("running on the configuration before: the new one is not valid");
  }
}

/** One reload at a time; a signal during one asks for another after it. */
function onHangUp(reloadOnce: () => Promise<void>): Disposable {
  let tail = Promise.resolve();
  let waiting = 0;
  const onSignal = (): void => {
    if (waiting > 1) return;
    waiting += 1;
    tail = tail.then(reloadOnce).finally(() => {
      waiting -= 1;
    });
  };
  process.on("SIGHUP", onSignal);
  return { [Symbol.dispose]: () => void process.removeListener("SIGHUP", onSignal) };
}

async function versionOf(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  const parsed: unknown = JSON.parse(text);
  const version =
    typeof parsed === "object" && parsed !== null && "version" in parsed
      ? parsed.version
      : undefined;
  return typeof version === "string" ? version : "0";
}
