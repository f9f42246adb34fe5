/** The store of a stopped daemon, opened by the CLI under the daemon's own user. */
import { statSync } from "node:fs";
import { deviceKeyFileOf } from "../config/device-key.ts";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { loadDeviceKey } from "../store/device-key.ts";
import { Store } from "../store/store.ts";
import type { Random } from "../system/random.ts";
import { installedKeyOf, type LoadedConfig } from "./config-file.ts";
import { EXIT, ExitFault, refused } from "./exit.ts";

/** @throws Fault `store_locked` while the daemon runs, ExitFault `no_store` when there is none yet */
export function openStoreOf(loaded: LoadedConfig, random: Random, log: Log = QUIET): Store {
  const { config } = loaded;
  const owner = ownerOf(config.paths.state);
  const file = deviceKeyFileOf(config) ?? installedKeyOf(loaded);
  const keys = loadDeviceKey(
    { file, insecureGenerated: false },
    { log, randomBytes: random.bytes },
  );
  becomeOwner(owner);
  return Store.open(
    { directory: config.paths.state, keys, limits: config.store },
    { log, randomBytes: random.bytes },
  );
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

function ownerOf(directory: string): Owner {
  try {
    return statSync(directory);
  } catch (fault) {
    if (codeOf(fault) === "ENOENT")
      throw refused("no_store", `there is no store in ${directory} yet: start the daemon once`);
    throw new ExitFault(
      EXIT.refused,
      "store_unreadable",
      `cannot look into ${directory} (${codeOf(fault)}): use sudo`,
      fault,
    );
  }
}

/** Files that root makes there could not be opened by the daemon afterwards. */
function becomeOwner({ uid, gid }: Owner): void {
  if (process.geteuid?.() !== 0 || uid === 0) return;
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

const nothing = (): void => {};
export const QUIET: Log = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  child: () => QUIET,
};
