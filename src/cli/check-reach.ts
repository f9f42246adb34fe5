/** Do the decoders work here, does the broker answer? */
import { probePreset } from "../camera/presets.ts";
import type { Config } from "../config/schema.ts";
import { messageOf } from "../lib/fault.ts";
import { endpointOf } from "../mqtt/dial.ts";
import { Session } from "../mqtt/session.ts";
import { createClock } from "../system/clock.ts";
import type { Finding } from "./check.ts";

export async function checkDecoders(
  config: Config,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const presets = [
    ...new Set(config.cameras.filter((camera) => camera.enabled).map((camera) => camera.preset)),
  ];
  return Promise.all(
    presets.map(async (preset): Promise<Finding> => {
      const probe = await probePreset(preset, signal);
      if (probe.kind === "ok") return { state: "ok", what: "decoder", text: `${preset} works` };
      return {
        state: "fail",
        what: "decoder",
        text: `${preset}: ${probe.message}`,
        fix: "install what is missing, or choose preset: software",
      };
    }),
  );
}

export async function checkBroker({ mqtt }: Config, signal: AbortSignal): Promise<Finding> {
  const { host, port } = endpointOf(mqtt.url);
  try {
    const clientId = `ostiary-check-${process.pid}`;
    const deps = { clock: createClock(), onMessage: () => undefined };
    const session = await Session.open(
      { mqtt, clientId, clean: true, sessionExpirySeconds: 0 },
      deps,
      signal,
    );
    await session.end();
    return { state: "ok", what: "broker", text: `${host}:${port} lets us in` };
  } catch (fault) {
    // Permission problems here are most often systemd's address filter or a firewall.
    return {
      state: "fail",
      what: "broker",
      text: messageOf(fault),
      fix: "see the mqtt section; a broker outside private ranges needs systemd/drop-ins/anywhere.conf",
    };
  }
}
