/** The store of this device, opened with the key that its configuration names. */
import { mkdirSync } from "node:fs";
import { deviceKeyFileOf } from "../config/device-key.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../lib/log.ts";
import { loadDeviceKey } from "../store/device-key.ts";
import { Store } from "../store/store.ts";
import type { Random } from "../system/random.ts";

/** @param credentialsDirectory systemd's; its `device-key` wins over a file. @throws Fault, see `Store.open` */
export function openDeviceStore(
  config: Config,
  credentialsDirectory: string | undefined,
  { log, random }: { readonly log: Log; readonly random: Random },
): Store {
  const deps = { log, randomBytes: random.bytes };
  // A generated key lies in it, before there is a store.
  mkdirSync(config.paths.state, { recursive: true, mode: 0o700 });
  const file = deviceKeyFileOf(config);
  const insecureGenerated = config.insecure.generatedDeviceKey;
  const keys = loadDeviceKey({ credentialsDirectory, file, insecureGenerated }, deps);
  return Store.open({ directory: config.paths.state, keys, limits: config.store }, deps);
}
