/** The doorkeeper among the edges: what it reads, and where its decisions go. */
import { packUseOf } from "../config/pack-use.ts";
import type { Config } from "../config/schema.ts";
import { Doorkeeper, type DoorkeeperDeps } from "../decide.ts";
import type { Decision } from "../decision/decision.ts";
import type { MqttLink } from "../mqtt/link.ts";
import type { Store } from "../store/store.ts";
import type { ClockTrustKeeper } from "../system/clock-trust.ts";
import type { Random } from "../system/random.ts";
import type { Events } from "../telemetry/events.ts";
import type { Serving } from "./serving.ts";

export interface DoorkeepingDeps extends Pick<DoorkeeperDeps, "clock" | "onFault" | "onSeen"> {
  /** In force now: rules change at a reload. */
  readonly config: () => Config;
  readonly random: Random;
  readonly serving: Serving;
  readonly store: Store;
  readonly link: MqttLink;
  readonly events: Events;
  readonly clockTrust: ClockTrustKeeper;
  readonly onDecided: (decision: Decision) => void;
  /** A grant that the broker has. */
  readonly onGranted: (decision: Decision) => void;
}

export function doorkeeperOf(deps: DoorkeepingDeps): Doorkeeper {
  const { config, clock, random, serving, store, link, events, clockTrust } = deps;
  const publish = (decision: Decision): void => {
    const { firstUsableAt } = decision;
    const latencyMs = firstUsableAt === undefined ? undefined : clock.monotonicMs() - firstUsableAt;
    events.decided(decision, latencyMs);
    deps.onDecided(decision);
    link.publishDecision(decision, () => {
      doorkeeper.acknowledged(decision.id);
      if (decision.outcome === "grant") deps.onGranted(decision);
    });
  };
  const doorkeeper = new Doorkeeper(config(), {
    clock,
    get gallery() {
      return serving.gallery;
    },
    threshold: serving.threshold,
    ledger: store.ledger,
    rules: () => config().access,
    doorMode: () => "normal",
    clockTrusted: () =>
      !config().decision.requireTrustedClock || clockTrust.trust.kind === "trusted",
    get demoOnly() {
      return !packUseOf(serving.pack.pack, config()).opensDoors;
    },
    degraded: () => false,
    newId: () => random.id(clock.epochMs()),
    publish,
    ...(deps.onFault === undefined ? {} : { onFault: deps.onFault }),
    ...(deps.onSeen === undefined ? {} : { onSeen: deps.onSeen }),
  });
  return doorkeeper;
}
