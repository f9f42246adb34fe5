/** Model updates among the edges: the pack that a start serves, and the updater that may replace it. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { readDirectors } from "../config/trust.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { KeyRing } from "../mqtt/envelope.ts";
import type { MqttLink } from "../mqtt/link.ts";
import { addressOf } from "../mqtt/options.ts";
import type { PackOnDisk, Runtime } from "../release/ports.ts";
import { Hardware } from "../release/repository.ts";
import type { Store } from "../store/store.ts";
import type { ClockTrustKeeper } from "../system/clock-trust.ts";
import type { Random } from "../system/random.ts";
import { bootFailed, bootPack } from "../update/boot.ts";
import { temperatureC } from "../update/machine.ts";
import { Packs } from "../update/packs.ts";
import { Releases } from "../update/tuf/releases.ts";
import { Updater } from "../update/updater.ts";
import { readPackOnDisk } from "../vision/read-pack.ts";
import { RELEASED_AT } from "./device-clock.ts";

export interface StartDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Open before the pack is known where there are updates: its journal says which. */
  readonly store: Store | undefined;
}

/** The pack of this start, and what is kept beside it when there are updates. */
export interface StartPack {
  readonly pack: PackOnDisk;
  readonly packs: Packs | undefined;
  /** The pack did not load: a candidate is not tried a second time. */
  readonly failed: (fault: unknown) => void;
}

/** @param factory directory of the pack that came with this version, or that the configuration names */
export async function startPackOf(
  { update, paths }: Config,
  factory: string,
  { store, clock, log }: StartDeps,
): Promise<StartPack> {
  if (update === undefined || store === undefined)
    return { pack: await readPackOnDisk(factory), packs: undefined, failed: () => undefined };
  const packs = await Packs.open({ directory: join(paths.state, "packs"), factory });
  const deps = { journal: store.updates, packs, log: log.child({ part: "update" }) };
  return {
    packs,
    pack: await bootPack(deps, clock.epochMs()),
    failed: (fault) => bootFailed(deps, fault, clock.epochMs()),
  };
}

export interface UpdaterOfDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly config: Config;
  readonly version: string;
  readonly random: Random;
  readonly packs: Packs | undefined;
  readonly runtime: Runtime;
  readonly link: MqttLink;
  readonly clockTrust: ClockTrustKeeper;
}

/** @returns undefined on a device that takes no updates */
export async function updaterOf(deps: UpdaterOfDeps): Promise<Updater | undefined> {
  const { config, packs, store, clock, random, runtime, link, clockTrust } = deps;
  const { update, mqtt, paths } = config;
  if (update === undefined || packs === undefined) return undefined;
  const log = deps.log.child({ part: "update" });
  const directors = await readDirectors(update.trust).catch((fault: unknown) => {
    // Going back and a switch that is under way need no director.
    log.error({ code: codeOf(fault) }, `no update can come: ${messageOf(fault)}`);
    return new KeyRing([]);
  });
  const source = new Releases(
    {
      repository: update.repository,
      pinnedRoot: update.trust.root,
      stateDirectory: join(paths.state, "tuf"),
      runtime: { hardware: Hardware.parse(process.arch), version: deps.version },
    },
    { clock, log },
  );
  return new Updater({ address: addressOf(mqtt), builtAt: RELEASED_AT }, update, {
    clock,
    log,
    packs,
    runtime,
    source,
    temperatureC,
    random: random.unit,
    journal: store.updates,
    verifyDesired: directors.verify,
    clockTrusted: () => clockTrust.trust.kind === "trusted",
    publish: (report) => link.setRetainedSigned("update/state", JSON.stringify(report)),
  });
}
