/** What is open while the daemon runs. */
import type { Doorkeeper } from "../decide.ts";
import type { signerOf } from "../mqtt/envelope.ts";
import type { MqttLink } from "../mqtt/link.ts";
import type { Store } from "../store/store.ts";
import type { ClockTrustKeeper } from "../system/clock-trust.ts";
import type { Events } from "../telemetry/events.ts";
import type { Packs } from "../update/packs.ts";
import type { Updater } from "../update/updater.ts";
import type { VisionProcess } from "../vision/process.ts";
import type { Cameras } from "./cameras.ts";
import type { Collectors } from "./collectors.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { DoorStates } from "./door-states.ts";
import type { Serving } from "./serving.ts";
import type { InfoSources } from "./status.ts";
import type { Updating } from "./updating.ts";

/** What touches the world. */
export interface Edges {
  readonly events: Events;
  readonly store: Store;
  readonly clockTrust: ClockTrustKeeper;
  readonly vision: VisionProcess;
  readonly serving: Serving;
  /** Of updates; absent where there are none. */
  readonly packs: Packs | undefined;
  readonly signer: ReturnType<typeof signerOf>;
  readonly link: MqttLink;
  readonly cameras: Cameras;
}

/** Everything that is open while the daemon runs. */
export interface Parts extends Edges {
  readonly dispatcher: Dispatcher;
  readonly doorkeeper: Doorkeeper;
  readonly collectors: Collectors;
  readonly doors: DoorStates;
  readonly updating: Updating;
  readonly updater: Updater | undefined;
  readonly info: () => InfoSources;
}
