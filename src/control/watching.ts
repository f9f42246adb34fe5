/** The watchdog among the edges: whom its health checks ask. */
import type { Config } from "../config/schema.ts";
import type { Gallery } from "../gallery/index-port.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Store } from "../store/store.ts";
import type { Notifier } from "../system/notify.ts";
import { Watchdog } from "../system/watchdog.ts";
import type { VisionProcess } from "../vision/process.ts";
import type { Cameras } from "./cameras.ts";
import { healthChecks } from "./health-checks.ts";
import type { Serving } from "./serving.ts";

export interface WatchingDeps {
  readonly config: Config;
  /** Half of what systemd allows; without systemd the checks run all the same, for `device/status`. */
  readonly periodMs: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly notifier: Notifier;
  readonly store: Store;
  readonly serving: Serving;
  readonly vision: VisionProcess;
  readonly cameras: Cameras;
  readonly onRound: (failing: readonly string[]) => void;
}

const PERIOD_MS = 10_000;
const FRAME_AGE_MIN_MS = 5000;

export function watchdogOf(deps: WatchingDeps): Watchdog {
  const { config, clock, log, notifier, store, serving, vision, cameras, onRound } = deps;
  const { checkTimeoutMs, lagMaxMs } = config.watchdog;
  const checks = healthChecks({
    epochMs: clock.epochMs,
    probeStore: (at) => store.probe(at),
    probeGallery: () => probeGallery(serving.gallery),
    visionState: () => vision.status().state,
    pingVision: (signal) => vision.ping({ signal }),
    cameras: () => cameras.states(),
    // The camera's own watch has until `stallMs` to call it offline.
    frameAgeMaxMs: 2 * Math.max(FRAME_AGE_MIN_MS, ...config.cameras.map(({ stallMs }) => stallMs)),
  });
  const options = { periodMs: deps.periodMs ?? PERIOD_MS, checkTimeoutMs, lagMaxMs };
  return new Watchdog(options, { clock, log, notifier, checks, onRound });
}

function probeGallery(gallery: Gallery): Promise<unknown> {
  const probe = new Float32Array(gallery.dimension);
  probe[0] = 1;
  return gallery.search(probe, 1);
}
