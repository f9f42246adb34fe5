/** Where the key that wraps every other lies, when no systemd credential brings it. */
import { join } from "node:path";
import type { Config } from "./schema.ts";

/** @returns undefined when only a credential may bring it */
export function deviceKeyFileOf({ paths, insecure }: Config): string | undefined {
  if (!paths.deviceKey.startsWith("credential:")) return paths.deviceKey;
  return insecure.generatedDeviceKey ? join(paths.state, "device.key") : undefined;
}
