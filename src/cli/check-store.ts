/** The store's fsck while the daemon is stopped; the daemon's own word while it runs. */

import { ControlClient } from "../control/client.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import { createRandom } from "../system/random.ts";
import type { Finding } from "./check.ts";
import { type LoadedConfig, socketOf } from "./config-file.ts";
import { openStoreOf } from "./store-of.ts";

const what = "store";

export async function checkStore(
  loaded: LoadedConfig,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  try {
    using store = openStoreOf(loaded, createRandom());
    const report = store.check();
    const { identities, templates, sourceCrops, events } = report;
    const summary = `${identities} identities, ${templates} templates, ${sourceCrops} source crops, ${events} events`;
    if (report.ok) return [{ state: "ok", what, text: summary }];
    const fix = "restore a backup, or enrol those people again";
    return report.problems.map((problem) => ({
      state: "fail",
      what,
      text: `${problem.where}: ${problem.message} (${problem.code})`,
      fix,
    }));
  } catch (fault) {
    if (codeOf(fault) === "store_locked") return [await daemonsWord(loaded, signal)];
    if (codeOf(fault) === "no_store") return [{ state: "warn", what, text: messageOf(fault) }];
    return [
      {
        state: "fail",
        what,
        text: messageOf(fault),
        fix: `journalctl -u ostiary says more (${codeOf(fault)})`,
      },
    ];
  }
}

async function daemonsWord(loaded: LoadedConfig, signal: AbortSignal): Promise<Finding> {
  try {
    using client = await ControlClient.connect(socketOf(loaded), signal);
    const answer = await client.ask(
      "gallery/stats",
      {},
      { id: `check-${process.pid}-stats` },
      signal,
    );
    if (!answer.ok)
      return { state: "fail", what, text: answer.error.message, fix: "journalctl -u ostiary" };
    return {
      state: "ok",
      what,
      text: "in use by the running daemon, which answers; stop it for a full check",
    };
  } catch (fault) {
    return {
      state: "fail",
      what,
      text: `locked, and ${messageOf(fault)}`,
      fix: "systemctl status ostiary",
    };
  }
}
