/** `check`: looks at configuration, pack and store, and with `--reach` at decoders and broker. */

import { ConfigInvalid } from "../config/load.ts";
import { warningsOf } from "../config/schema.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import { addressOf } from "../mqtt/options.ts";
import { checkPack } from "./check-pack.ts";
import { checkBroker, checkDecoders } from "./check-reach.ts";
import { checkStore } from "./check-store.ts";
import { checkRepository, checkUpdate } from "./check-update.ts";
import type { Action } from "./command.ts";
import { loadConfigOf } from "./config-file.ts";
import { EXIT } from "./exit.ts";
import { printJson } from "./terminal.ts";

export interface Finding {
  readonly state: "ok" | "warn" | "fail";
  /** What was looked at, one or two words. */
  readonly what: string;
  readonly text: string;
  readonly fix?: string;
}

export const check: Action = async (context) => {
  const { args, terminal } = context;
  const findings = await findingsOf(context);
  if (args.flag("json"))
    printJson(terminal, {
      schema: 1,
      ok: findings.every(({ state }) => state !== "fail"),
      findings,
    });
  else if (args.flag("lines"))
    for (const each of findings)
      terminal.out(
        `${[each.state, each.what, each.text, each.fix ?? ""].map(oneCell).join("\t")}\n`,
      );
  else for (const each of findings) terminal.out(textOf(each));
  if (findings.some(({ state, what }) => state === "fail" && what === "configuration"))
    return EXIT.config;
  return findings.some(({ state }) => state === "fail") ? EXIT.failed : EXIT.ok;
};

async function findingsOf(context: Parameters<Action>[0]): Promise<readonly Finding[]> {
  const { args, signal } = context;
  const loaded = await loadConfigOf(context).catch((fault: unknown) => fault);
  if (
    loaded instanceof Error ||
    typeof loaded !== "object" ||
    loaded === null ||
    !("config" in loaded)
  )
    return configProblems(loaded);
  const { config } = loaded as Awaited<ReturnType<typeof loadConfigOf>>;
  const summary = `${addressOf(config.mqtt)}: ${config.cameras.length} camera(s), ${config.access.doors.length} door(s), ${config.control.keys.length} key(s)`;
  const findings: Finding[] = [{ state: "ok", what: "configuration", text: summary }];
  for (const text of warningsOf(config))
    findings.push({ state: "warn", what: "configuration", text });
  findings.push(...(await checkPack(config)), ...(await checkUpdate(config)));
  if (args.flag("reach"))
    findings.push(
      ...(await checkDecoders(config, signal)),
      await checkBroker(config, signal),
      ...(await checkRepository(config, signal)),
    );
  // Last: it may hand the process over to the store's owner.
  findings.push(...(await checkStore(loaded as Awaited<ReturnType<typeof loadConfigOf>>, signal)));
  return findings;
}

function configProblems(fault: unknown): readonly Finding[] {
  const fix = "edit the configuration; config/README.md lists every key";
  if (fault instanceof ConfigInvalid)
    return fault.problems.map((text) => ({ state: "fail", what: "configuration", text, fix }));
  return [
    { state: "fail", what: "configuration", text: `${messageOf(fault)} (${codeOf(fault)})`, fix },
  ];
}

const oneCell = (text: string): string => text.replaceAll(/\s+/g, " ");

function textOf({ state, what, text, fix }: Finding): string {
  const line = `${state === "fail" ? "FAIL" : state.padEnd(4)}  ${what.padEnd(14)} ${text}\n`;
  return fix === undefined ? line : `${line}      ${"".padEnd(14)} fix: ${fix}\n`;
}
