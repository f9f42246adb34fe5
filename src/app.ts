/** Composition root of main: configuration → edges → stages. What lives here is wiring; what decides lives elsewhere. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { diffConfig, mergeLive } from "./config/diff.ts";
import { type Config, warningsOf } from "./config/schema.ts";
import { Cameras } from "./control/cameras.ts";
import { Collectors } from "./control/collectors.ts";
import { Dispatcher } from "./control/dispatcher.ts";
import { DoorStates } from "./control/door-states.ts";
import { EnrolmentSessions } from "./control/enrolment-sessions.ts";
import { healthChecks } from "./control/health-checks.ts";
import { takeCommands } from "./control/intake.ts";
import { ControlSocket } from "./control/socket.ts";
import { cameraReport, type InfoSources, infoOf, statusOf } from "./control/status.ts";
import { Doorkeeper } from "./decide.ts";
import type { Decision } from "./decision/decision.ts";
import type { TrackView } from "./decision/view.ts";
import type { Pack } from "./embedding/pack.ts";
import { type CameraId, type EpochMs, epochMs } from "./lib/brand.ts";
import type { Clock } from "./lib/clock.ts";
import { codeOf, messageOf } from "./lib/fault.ts";
import type { Log } from "./lib/log.ts";
import { type Threshold, thresholdOf } from "./match/threshold.ts";
import { KeyRing, signerOf } from "./mqtt/envelope.ts";
import { MqttLink } from "./mqtt/link.ts";
import { addressOf } from "./mqtt/options.ts";
import type { ObserveMessage } from "./observation/messages.ts";
import { loadDeviceKey } from "./store/device-key.ts";
import { LiveGallery } from "./store/index/live-gallery.ts";
import { Store } from "./store/store.ts";
import { ClockTrustKeeper } from "./system/clock-trust.ts";
import type { Notifier } from "./system/notify.ts";
import type { Random } from "./system/random.ts";
import { Watchdog } from "./system/watchdog.ts";
import { createEvents, type Events } from "./telemetry/events.ts";
import { createMetrics, MetricsEndpoint } from "./telemetry/metrics.ts";
import { readPack } from "./vision/read-pack.ts";
import { VisionProcess } from "./vision/process.ts";

export interface ApplianceOptions {
  readonly config: Config;
  readonly version: string;
  /** The pack to run: `paths.pack`, or the bundled one. */
  readonly packDirectory: string;
  readonly credentialsDirectory?: string | undefined;
  /** Period of systemd's watchdog, ms; none when absent. */
  readonly watchdogMs?: number | undefined;
}

export interface ApplianceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly notifier: Notifier;
  readonly setLogLevel: (level: Config["telemetry"]["level"]) => void;
  readonly onSeen?: (view: TrackView) => void;
}

/** 2026-11-01: no honest clock is earlier. */
const RELEASED_AT = epochMs(1_793_491_200_000);
const CLOCK_TOLERANCE_MS = 60_000;
/** How far a sender's clock may run ahead. */
const SKEW_SECONDS = 30;
const INDEX_REPORT_MS = 10_000;

/** Everything that is open while the daemon runs. */
interface Parts {
  readonly pack: Pack;
  readonly store: Store;
  readonly gallery: LiveGallery;
  readonly vision: VisionProcess;
  readonly link: MqttLink;
  readonly dispatcher: Dispatcher;
  readonly doorkeeper: Doorkeeper;
  readonly cameras: Cameras;
  readonly collectors: Collectors;
  readonly doors: DoorStates;
  readonly clockTrust: ClockTrustKeeper;
  readonly events: Events;
  readonly info: () => InfoSources;
}

export class Appliance implements AsyncDisposable {
  readonly #options: ApplianceOptions;
  readonly #deps: ApplianceDeps;
  readonly #stack = new AsyncDisposableStack();
  readonly #stop = new AbortController();
  readonly #bootId: string;
  readonly #startedAt: EpochMs;
  readonly #startedMonotonic: number;
  #config: Config;
  #keys: KeyRing;
  #failingChecks: readonly string[] = [];
  #parts!: Parts;

  private constructor(options: ApplianceOptions, deps: ApplianceDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#config = options.config;
    this.#keys = new KeyRing(options.config.control.keys.map((key) => key.publicKey));
    this.#startedAt = deps.clock.epochMs();
    this.#startedMonotonic = deps.clock.monotonicMs();
    this.#bootId = deps.random.id(this.#startedAt);
  }

  /** Store open, models warm, gallery loaded: a camera or broker that is away is a state, not a failed start. */
  static async open(options: ApplianceOptions, deps: ApplianceDeps, signal: AbortSignal): Promise<Appliance> {
    const appliance = new Appliance(options, deps);
    try {
      await appliance.#open(signal);
      return appliance;
    } catch (thrown) {
      await appliance[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, notifier } = this.#deps;
    const { vision, link, dispatcher, cameras, clockTrust, doors, events } = this.#parts;
    signal.addEventListener("abort", () => this.#stop.abort(), { once: true });
    if (signal.aborted) this.#stop.abort();
    const stop = this.#stop.signal;
    const { config } = this.#options;
    for (const warning of warningsOf(config)) log.warn({ code: "insecure" }, warning);
    await cameras.apply(config.cameras);
    doors.apply(config.access);
    const watchdog = this.#watchdog();
    const loops = [
      vision.run(stop),
      link.run(stop),
      clockTrust.run(stop),
      watchdog.run(stop),
      takeCommands({
        commands: link.commands,
        authority: () => ({ has: this.#keys.has, verify: this.#keys.verify, audience: addressOf(config.mqtt), maxBytes: config.mqtt.maxPacketBytes, skewSeconds: SKEW_SECONDS }),
        dispatcher,
        answer: (target, answer) => link.answer(target, answer),
        clock,
        onRefused: events.commandRefused,
      }),
    ];
    const stopTimers = [
      clock.every(config.mqtt.healthEveryMs, () => link.publishHealth(this.status())),
      clock.every(INDEX_REPORT_MS, () => this.#reportGallery()),
    ];
    events.started({ version: this.#options.version, packId: this.#parts.pack.id, provider: vision.status().loaded?.provider ?? "none", startMs: clock.monotonicMs() - this.#startedMonotonic });
    notifier.ready("running");
    await new Promise<void>((resolve) => {
      if (stop.aborted) return resolve();
      stop.addEventListener("abort", () => resolve(), { once: true });
    });
    notifier.stopping("stopping");
    for (const end of stopTimers) end();
    // No new frames, then no new decisions, then goodbye to the broker.
    await Promise.allSettled([cameras[Symbol.asyncDispose](), ...loops.slice(0, 4)]);
    await link[Symbol.asyncDispose]();
    await Promise.allSettled(loops);
  }

  /** Applies what may change while it runs. @returns the keys that wait for a restart */
  async reload(config: Config): Promise<readonly string[]> {
    const { live, restart } = diffConfig(this.#config, config);
    this.#config = mergeLive(this.#config, config);
    this.#keys = new KeyRing(this.#config.control.keys.map((key) => key.publicKey));
    this.#deps.setLogLevel(this.#config.telemetry.level);
    this.#parts.doors.apply(this.#config.access);
    await this.#parts.cameras.apply(this.#config.cameras);
    this.#parts.events.configReloaded(live, restart);
    return restart;
  }

  status(): ReturnType<typeof statusOf> {
    const { gallery, vision, link, doorkeeper, cameras, clockTrust, store, info } = this.#parts;
    const { state, restarts } = vision.status();
    const { connected, reconnects } = link.connection;
    return statusOf({
      ...info(),
      now: this.#deps.clock.epochMs(),
      cameras: cameras.states(),
      vision: { state, restarts },
      gallery: { ...gallery.stats() },
      threshold: this.#threshold(),
      broker: { connected, reconnects },
      doorkeeper: { ...doorkeeper.counts() },
      events: store.outbox.bounds(),
      clockTrusted: clockTrust.trust.kind === "trusted",
      failingChecks: this.#failingChecks,
      rssBytes: process.memoryUsage.rss(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#stack.disposeAsync();
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const { packDirectory, credentialsDirectory } = this.#options;
    const config = this.#config;
    const stack = this.#stack;
    mkdirSync(config.paths.runtime, { recursive: true, mode: 0o700 });
    const metrics = createMetrics();
    const events = createEvents({ log, metrics });
    const { host, port } = config.telemetry.metrics;
    if (port !== undefined) stack.use(await MetricsEndpoint.open({ host, port }, { metrics }));
    const clockTrust = stack.use(
      await ClockTrustKeeper.open(
        { path: join(config.paths.state, "latest-time"), builtAt: RELEASED_AT, requireSynchronized: config.clock.requireSynchronized, toleranceMs: CLOCK_TOLERANCE_MS },
        { clock, log },
      ),
    );
    const keys = loadDeviceKey(deviceKeyOptions(config, credentialsDirectory), { log, randomBytes: random.bytes });
    const store = stack.use(Store.open({ directory: config.paths.state, keys, limits: config.store }, { log, randomBytes: random.bytes }));
    const pack = await readPack(packDirectory);
    const { spaceId, dimension } = pack.embedder;
    const collectors = new Collectors((cameraId, active) => vision.collect(cameraId, active));
    const vision = stack.use(
      new VisionProcess(
        { packDirectory, vision: config.vision },
        {
          clock,
          log: log.child({ part: "vision" }),
          random: random.unit,
          listener: {
            onObserve: (message) => this.#observed(message),
            onHealth: (message) => this.#parts.cameras.onHealth(message),
            onStreamHeader: (cameraId, bytes) => this.#parts.cameras.onStreamHeader(cameraId, bytes),
            onLost: (reason) => this.#visionLost(reason),
            onBack: () => this.#visionBack(),
          },
        },
      ),
    );
    // Both take seconds at most; neither needs the other.
    const [gallery] = await Promise.all([
      LiveGallery.open({ spaceId, dimension }, { record: store.record, changes: store.onGalleryChange, clock, log: log.child({ part: "gallery" }) }, signal).then((opened) => stack.use(opened)),
      vision.start(signal),
    ]);
    const signer = signerOf(store.deviceSigningKey());
    const link = stack.use(
      new MqttLink(config.mqtt, { clock, log: log.child({ part: "mqtt" }), random: random.unit, bootId: this.#bootId, signer, outbox: store.outbox }),
    );
    const info = (): InfoSources => ({
      version: this.#options.version,
      bootId: this.#bootId,
      startedAt: this.#startedAt,
      pack,
      loaded: vision.status().loaded,
      publicKey: signer.publicKey,
      kid: signer.kid,
    });
    const doors = new DoorStates({ clock, mode: () => "normal", publish: (doorId, state) => link.setRetained(`door/${doorId}/state`, { door: doorId, state }) });
    const doorkeeper = this.#doorkeeper({ gallery, store, link, events, doors, clockTrust });
    const cameras = stack.use(
      new Cameras({
        clock,
        log: log.child({ part: "camera" }),
        random: random.unit,
        runtimeDirectory: config.paths.runtime,
        frames: vision,
        onState: (state) => {
          link.setRetained(`camera/${state.id}/state`, cameraReport(state));
          if (state.status === "offline") this.#parts.doorkeeper.cameraLost(state.id).catch((fault) => this.#faulty(fault, state.id));
        },
      }),
    );
    const dispatcher = stack.use(this.#dispatcher({ store, gallery, vision, link, collectors, cameras, events }));
    stack.use(await ControlSocket.open({ path: join(config.paths.runtime, "control.sock"), version: this.#options.version }, { clock, log, dispatcher }));
    this.#parts = { pack, store, gallery, vision, link, dispatcher, doorkeeper, cameras, collectors, doors, clockTrust, events, info };
    link.setRetained("info", infoOf(info()));
  }

  #doorkeeper(parts: Pick<Parts, "gallery" | "store" | "link" | "events" | "doors" | "clockTrust">): Doorkeeper {
    const { clock, random, onSeen } = this.#deps;
    const { gallery, store, link, events, doors, clockTrust } = parts;
    const publish = (decision: Decision): void => {
      events.decided(decision, decision.firstUsableAt === undefined ? undefined : clock.monotonicMs() - decision.firstUsableAt);
      link.publishDecision(decision, () => {
        this.#parts.doorkeeper.acknowledged(decision.id);
        if (decision.outcome === "grant") doors.granted(decision, this.#stop.signal);
      });
    };
    return new Doorkeeper(this.#config, {
      gallery,
      threshold: () => this.#threshold(),
      ledger: store.ledger,
      rules: () => this.#config.access,
      doorMode: () => "normal",
      clockTrusted: () => !this.#config.decision.requireTrustedClock || clockTrust.trust.kind === "trusted",
      degraded: () => false,
      clock,
      newId: () => random.id(clock.epochMs()),
      publish,
      onFault: (fault, cameraId) => this.#faulty(fault, cameraId),
      ...(onSeen === undefined ? {} : { onSeen }),
    });
  }

  #dispatcher(parts: Pick<Parts, "store" | "gallery" | "vision" | "link" | "collectors" | "cameras" | "events">): Dispatcher {
    const { clock, log, random } = this.#deps;
    const { store, gallery, vision, link, collectors, cameras, events } = parts;
    return new Dispatcher({
      clock,
      log: log.child({ part: "control" }),
      inbox: store.inbox,
      newStream: () => `local-${random.id(clock.epochMs())}`,
      onHandled: events.commandHandled,
      commands: {
        clock,
        options: this.#config.control,
        reader: store.record,
        gallery: () => gallery,
        vision: {
          analyseImage: (image, maxFaces, signal) => vision.analyseImage(image, { maxFaces, signal }),
          snapshot: (cameraId, signal) => vision.snapshot(cameraId, { signal }),
          collect: (cameraId, onFrame) => collectors.collect(cameraId, onFrame),
        },
        rules: () => this.#config.access,
        cameraIds: () => cameras.ids,
        startReplay: (fromSeq, limit) => link.replayEvents(fromSeq, limit),
        status: () => this.status(),
        threshold: () => this.#threshold(),
        enrolment: () => this.#config.enrolment,
        enrolmentLimits: () => this.#config.vision.enrolment,
        sessions: new EnrolmentSessions(),
      },
    });
  }

  #watchdog(): Watchdog {
    const { clock, log, notifier } = this.#deps;
    const { store, gallery, vision, cameras, events } = this.#parts;
    const { checkTimeoutMs, lagMaxMs } = this.#config.watchdog;
    const probe = new Float32Array(gallery.dimension);
    probe[0] = 1;
    const checks = healthChecks({
      epochMs: clock.epochMs,
      probeStore: (at) => store.probe(at),
      probeGallery: () => gallery.search(probe, 1),
      visionState: () => vision.status().state,
      pingVision: (signal) => vision.ping({ signal }),
      cameras: () => cameras.states(),
      frameAgeMaxMs: 2 * Math.max(5000, ...this.#config.cameras.map((camera) => camera.stallMs)),
    });
    return new Watchdog(
      { periodMs: this.#options.watchdogMs ?? 10_000, checkTimeoutMs, lagMaxMs },
      {
        clock,
        log,
        notifier,
        checks,
        onRound: (failing) => {
          this.#failingChecks = failing;
          events.healthChanged(failing);
        },
      },
    );
  }

  /** For the gallery's size now. */
  #threshold(): Threshold {
    return thresholdOf(this.#parts.pack.calibration, this.#parts.gallery, this.#config.match);
  }

  #observed(message: ObserveMessage): void {
    const { collectors, doorkeeper, cameras } = this.#parts;
    if (!cameras.ids.includes(message.cameraId)) return;
    collectors.observe(message);
    doorkeeper.observe(message).catch((fault) => this.#faulty(fault, message.cameraId));
  }

  #visionLost(reason: string): void {
    const { cameras, doorkeeper, events, link, info } = this.#parts;
    events.visionChanged("lost", reason);
    cameras.visionLost();
    for (const cameraId of cameras.ids) doorkeeper.cameraLost(cameraId).catch((fault) => this.#faulty(fault, cameraId));
    link.setRetained("info", infoOf(info()));
  }

  #visionBack(): void {
    const { cameras, collectors, events, link, info } = this.#parts;
    events.visionChanged("ready");
    cameras.visionBack();
    collectors.visionBack();
    link.setRetained("info", infoOf(info()));
  }

  #faulty(fault: unknown, cameraId: CameraId): void {
    this.#deps.log.error({ cameraId, code: codeOf(fault) }, messageOf(fault));
  }

  #reportGallery(): void {
    const { gallery, events } = this.#parts;
    events.galleryCounted(gallery.identityCount, gallery.templateCount);
  }
}

function deviceKeyOptions(config: Config, credentialsDirectory: string | undefined) {
  const { deviceKey, state } = config.paths;
  const { generatedDeviceKey } = config.insecure;
  const named = !deviceKey.startsWith("credential:");
  const file = named ? deviceKey : generatedDeviceKey ? join(state, "device.key") : undefined;
  return { credentialsDirectory, file, insecureGenerated: generatedDeviceKey };
}
