/** Composition root of main: configuration → edges → stages. What lives here is wiring; what decides lives elsewhere. */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { diffConfig, mergeLive } from "./config/diff.ts";
import { startWarningsOf } from "./config/pack-use.ts";
import type { Config } from "./config/schema.ts";
import { Cameras } from "./control/cameras.ts";
import { Collectors } from "./control/collectors.ts";
import { openDeviceClock } from "./control/device-clock.ts";
import { openDeviceStore } from "./control/device-store.ts";
import { dispatcherOf } from "./control/dispatching.ts";
import { DoorStates } from "./control/door-states.ts";
import { doorkeeperOf } from "./control/doorkeeping.ts";
import { takeCommands } from "./control/intake.ts";
import { startPackOf, updaterOf } from "./control/model-updates.ts";
import type { Edges, Parts } from "./control/parts.ts";
import { openGallery, Serving } from "./control/serving.ts";
import { ControlSocket } from "./control/socket.ts";
import { cameraReport, type InfoSources, infoOf, statusOf } from "./control/status.ts";
import { updatingOf } from "./control/updating.ts";
import { watchdogOf } from "./control/watching.ts";
import type { TrackView } from "./decision/view.ts";
import type { CameraId, EpochMs } from "./lib/brand.ts";
import type { Clock } from "./lib/clock.ts";
import { codeOf, messageOf } from "./lib/fault.ts";
import type { Log } from "./lib/log.ts";
import { KeyRing, signerOf } from "./mqtt/envelope.ts";
import { MqttLink } from "./mqtt/link.ts";
import { addressOf } from "./mqtt/options.ts";
import { keepPacketLengths } from "./mqtt/packet-lengths.ts";
import type { ObserveMessage } from "./observation/messages.ts";
import type { Store } from "./store/store.ts";
import { heapCollector, spareMemory } from "./system/memory.ts";
import type { Notifier } from "./system/notify.ts";
import type { Random } from "./system/random.ts";
import { createEvents, type Events } from "./telemetry/events.ts";
import { createMetrics, MetricsEndpoint } from "./telemetry/metrics.ts";
import { type VisionListener, VisionProcess } from "./vision/process.ts";

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

/** How far a sender's clock may run ahead. */
const SKEW_SECONDS = 30;

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
  /** They connect while the gallery is read. */
  #cameras: Cameras | undefined;
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
  static async open(
    options: ApplianceOptions,
    deps: ApplianceDeps,
    signal: AbortSignal,
  ): Promise<Appliance> {
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
    const { serving, vision, link, dispatcher, cameras, clockTrust, doors, events } = this.#parts;
    const { updating, updater, doorkeeper } = this.#parts;
    signal.addEventListener("abort", () => this.#stop.abort(), { once: true });
    if (signal.aborted) this.#stop.abort();
    const stop = this.#stop.signal;
    const { config } = this.#options;
    const { pack } = serving.pack;
    for (const { code, text } of startWarningsOf(pack, config)) log.warn({ code }, text);
    doors.apply(config.access);
    const watchdog = watchdogOf({
      ...this.#deps,
      ...this.#parts,
      config: this.#config,
      periodMs: this.#options.watchdogMs,
      onRound: (failing) => {
        this.#failingChecks = failing;
        events.healthChanged(failing);
      },
    });
    const isQuiet = (): boolean => doorkeeper.counts().tracks === 0;
    const loops = [
      vision.run(stop),
      link.run(stop),
      clockTrust.run(stop),
      watchdog.run(stop),
      updating.run(stop),
      updater?.run(stop),
      takeCommands({
        commands: link.commands,
        authority: () => ({
          has: this.#keys.has,
          verify: this.#keys.verify,
          audience: addressOf(config.mqtt),
          maxBytes: config.mqtt.maxPacketBytes,
          skewSeconds: SKEW_SECONDS,
        }),
        dispatcher,
        answer: (target, answer) => link.answer(target, answer),
        clock,
        onRefused: events.commandRefused,
      }),
      spareMemory({ clock, collect: heapCollector() }, isQuiet, stop),
    ];
    const stopReports = clock.every(config.mqtt.healthEveryMs, () => this.#reportHealth());
    events.started({
      version: this.#options.version,
      packId: pack.id,
      provider: vision.status().loaded?.provider ?? "none",
      startMs: clock.monotonicMs() - this.#startedMonotonic,
    });
    notifier.ready("running");
    if (!stop.aborted) await once(stop, "abort");
    notifier.stopping("stopping");
    stopReports();
    // No new frames, then no new decisions, then goodbye to the broker.
    await Promise.allSettled([cameras[Symbol.asyncDispose](), ...loops.slice(0, 6)]);
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
    const { serving, vision, link, doorkeeper, cameras, clockTrust, store, info } = this.#parts;
    const { state, restarts } = vision.status();
    const { connected, reconnects } = link.connection;
    return statusOf({
      ...info(),
      now: this.#deps.clock.epochMs(),
      cameras: cameras.states(),
      vision: { state, restarts },
      gallery: { ...serving.gallery.stats() },
      threshold: serving.threshold(),
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
    const edges = await this.#openEdges(signal);
    const { clock, log } = this.#deps;
    const { serving, vision, link, signer, cameras } = edges;
    const info = (): InfoSources => ({
      version: this.#options.version,
      bootId: this.#bootId,
      startedAt: this.#startedAt,
      pack: serving.pack.pack,
      config: this.#config,
      loaded: vision.status().loaded,
      publicKey: signer.publicKey,
      kid: signer.kid,
    });
    const doors = new DoorStates({
      clock,
      mode: () => "normal",
      publish: (doorId, state) => link.setRetained(`door/${doorId}/state`, { door: doorId, state }),
    });
    const site = {
      ...this.#deps,
      ...edges,
      config: () => this.#config,
    };
    const updating = this.#stack.use(
      updatingOf({
        ...site,
        onLeaving: () => this.#visionLeft(),
        onServing: () => this.#visionBack(),
      }),
    );
    const { runtime } = updating;
    const updater = await updaterOf({
      ...site,
      config: this.#config,
      version: info().version,
      runtime,
    });
    if (updater !== undefined) this.#stack.use(updater);
    const doorkeeper = doorkeeperOf({
      ...site,
      onDecided: (decision) => updating.probation.decided(decision),
      onGranted: (decision) => doors.granted(decision, this.#stop.signal),
      onFault: (fault, cameraId) => this.#faulty(fault, cameraId),
    });
    const collectors = new Collectors((cameraId, active) => vision.collect(cameraId, active));
    const status = (): ReturnType<typeof statusOf> => this.status();
    const dispatcher = this.#stack.use(
      dispatcherOf({ ...site, updating, updater, collectors, cameras, status }),
    );
    const path = join(this.#config.paths.runtime, "control.sock");
    const { version } = this.#options;
    this.#stack.use(await ControlSocket.open({ path, version }, { clock, log, dispatcher }));
    this.#parts = { ...edges, dispatcher, doorkeeper, collectors, doors, updating, updater, info };
    link.setRetained("info", infoOf(info()));
  }

  async #openEdges(signal: AbortSignal): Promise<Edges> {
    const { clock, random, log } = this.#deps;
    const { packDirectory, credentialsDirectory } = this.#options;
    const config = this.#config;
    const stack = this.#stack;
    mkdirSync(config.paths.runtime, { recursive: true, mode: 0o700 });
    const metrics = createMetrics();
    const events = createEvents({ log, metrics });
    const { host, port } = config.telemetry.metrics;
    if (port !== undefined) stack.use(await MetricsEndpoint.open({ host, port }, { metrics }));
    const openStore = (): Store =>
      stack.use(openDeviceStore(config, credentialsDirectory, { log, random }));
    // Where there are updates the journal says what is loaded; else models and store are opened at once.
    const early = config.update === undefined ? undefined : openStore();
    const given = { clock, log, store: early };
    const { pack, packs, failed } = await startPackOf(config, packDirectory, given);
    const vision = this.#visionOf(pack.directory);
    const reading = Promise.withResolvers<void>();
    const starting = vision.start(signal, reading.resolve);
    // Somebody else's failure may come first and end it.
    const ending = AbortSignal.any([signal, this.#stop.signal]);
    starting.catch((fault: unknown) => (ending.aborted ? undefined : failed(fault)));
    const store = early ?? openStore();
    const signer = signerOf(store.deviceSigningKey());
    keepPacketLengths();
    const link = stack.use(
      new MqttLink(config.mqtt, {
        ...this.#edgeDeps("mqtt"),
        bootId: this.#bootId,
        signer,
        outbox: store.outbox,
        onDesired: packs && ((text) => this.#parts?.updater?.hear(text)),
      }),
    );
    const cameras = this.#camerasOf(vision, link, events);
    const clockTrust = stack.use(await openDeviceClock(config, { clock, log }));
    // Each takes a second or more and needs none of the others; nobody is looked at before all are there.
    const [serving] = await Promise.all([
      openGallery(pack, { store, clock, log }, signal).then((gallery) =>
        stack.use(new Serving({ pack, gallery }, () => this.#config.match)),
      ),
      starting,
      reading.promise.then(() =>
        this.#stop.signal.aborted ? undefined : cameras.apply(config.cameras),
      ),
    ]);
    return { events, store, clockTrust, vision, serving, packs, signer, link, cameras };
  }

  /** What every edge is given. */
  #edgeDeps(part: string) {
    const { clock, log, random } = this.#deps;
    return { clock, log: log.child({ part }), random: random.unit };
  }

  #visionOf(packDirectory: string): VisionProcess {
    const deps = { ...this.#edgeDeps("vision"), listener: this.#visionListener() };
    return this.#stack.use(new VisionProcess({ packDirectory, vision: this.#config.vision }, deps));
  }

  #camerasOf(vision: VisionProcess, link: MqttLink, events: Events): Cameras {
    this.#cameras = this.#stack.use(
      new Cameras({
        ...this.#edgeDeps("camera"),
        runtimeDirectory: this.#config.paths.runtime,
        frames: vision,
        onState: (state) => {
          link.setRetained(`camera/${state.id}/state`, cameraReport(state));
          events.cameraChanged(state.id, state.status);
          if (state.status === "offline") this.#cameraLost(state.id);
        },
      }),
    );
    return this.#cameras;
  }

  #visionListener(): VisionListener {
    return {
      onObserve: (message) => this.#observed(message),
      onHealth: (message) => this.#cameras?.onHealth(message),
      onStreamHeader: (cameraId, bytes) => this.#cameras?.onStreamHeader(cameraId, bytes),
      onSample: (message) => this.#parts?.updating.runtime.onSample(message),
      onLost: (reason) => this.#visionLost(reason),
      onBack: () => this.#visionBack(),
    };
  }

  #observed(message: ObserveMessage): void {
    const { collectors, doorkeeper, cameras, updating } = this.#parts;
    if (!cameras.ids.includes(message.cameraId)) return;
    updating.probation.observed(message);
    collectors.observe(message);
    doorkeeper.observe(message).catch((fault) => this.#faulty(fault, message.cameraId));
  }

  #visionLost(reason: string): void {
    const { events, link, info } = this.#parts;
    events.visionChanged("lost", reason);
    this.#visionLeft();
    link.setRetained("info", infoOf(info()));
  }

  /** Tracks begin anew in another process. */
  #visionLeft(): void {
    const { cameras } = this.#parts;
    cameras.visionLost();
    for (const cameraId of cameras.ids) this.#cameraLost(cameraId);
  }

  #visionBack(): void {
    const { cameras, collectors, events, link, info } = this.#parts;
    events.visionChanged("ready");
    cameras.visionBack();
    collectors.visionBack();
    link.setRetained("info", infoOf(info()));
  }

  #cameraLost(cameraId: CameraId): void {
    // While the daemon opens there are no tracks to end.
    if (this.#parts === undefined) return;
    const ended = this.#parts.doorkeeper.cameraLost(cameraId);
    ended.catch((fault: unknown) => this.#faulty(fault, cameraId));
  }

  #faulty(fault: unknown, cameraId: CameraId): void {
    this.#deps.log.error({ cameraId, code: codeOf(fault) }, messageOf(fault));
  }

  /** The retained states carry frame rates and ages: they are renewed too. */
  #reportHealth(): void {
    const { link, cameras, serving, events, clockTrust } = this.#parts;
    link.publishHealth(this.status());
    const { identities, templates, recall } = serving.gallery.stats();
    const clockTrusted = clockTrust.trust.kind === "trusted";
    const brokerConnected = link.connection.connected;
    events.measured({ identities, templates, recall, clockTrusted, brokerConnected });
    for (const camera of cameras.states())
      link.setRetained(`camera/${camera.id}/state`, cameraReport(camera));
  }
}
