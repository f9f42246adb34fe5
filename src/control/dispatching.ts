/** The dispatcher among the edges: what commands may read and ask for. */
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { MqttLink } from "../mqtt/link.ts";
import type { Store } from "../store/store.ts";
import type { Random } from "../system/random.ts";
import type { Events } from "../telemetry/events.ts";
import type { VisionProcess } from "../vision/process.ts";
import type { Cameras } from "./cameras.ts";
import type { Collectors } from "./collectors.ts";
import type { StatusReport, UpdatesPort } from "./deps.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Serving } from "./serving.ts";
import type { Updating } from "./updating.ts";

export interface DispatchingDeps {
  /** In force now: a reload changes some of it. */
  readonly config: () => Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly store: Store;
  readonly serving: Serving;
  readonly updating: Updating;
  readonly updater: UpdatesPort | undefined;
  readonly vision: VisionProcess;
  readonly link: MqttLink;
  readonly collectors: Collectors;
  readonly cameras: Cameras;
  readonly events: Events;
  readonly status: () => StatusReport;
}

export function dispatcherOf(deps: DispatchingDeps): Dispatcher {
  const { config, clock, log, random, store, serving, updating, vision, link } = deps;
  const { collectors, cameras } = deps;
  return new Dispatcher({
    clock,
    log: log.child({ part: "control" }),
    inbox: store.inbox,
    newStream: () => `local-${random.id(clock.epochMs())}`,
    onHandled: deps.events.commandHandled,
    commands: {
      clock,
      get options() {
        return config().control;
      },
      reader: store.record,
      gallery: () => serving.gallery,
      vision: {
        analyseImage: (image, maxFaces, signal) => vision.analyseImage(image, { maxFaces, signal }),
        snapshot: (cameraId, signal) => vision.snapshot(cameraId, { signal }),
        collect: (cameraId, onFrame) => collectors.collect(cameraId, onFrame),
      },
      rules: () => config().access,
      cameraIds: () => cameras.ids,
      startReplay: (fromSeq, limit) => link.replayEvents(fromSeq, limit),
      status: deps.status,
      threshold: serving.threshold,
      enrolment: () => config().enrolment,
      enrolmentLimits: () => config().vision.enrolment,
      sessions: updating.sessions,
      otherSpace: () => updating.runtime.otherSpace,
      updates: deps.updater,
    },
  });
}
