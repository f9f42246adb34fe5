/** A whole site for end-to-end tests: real Mosquitto, real RTSP cameras, the daemon as a real process, a door that verifies. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { MqttClient } from "mqtt";
import { stringify } from "yaml";
import { consume } from "../../scripts/consumer/consumer.ts";
import type { Decision } from "../../scripts/consumer/verify.ts";
import { writeNewKey } from "../../src/cli/keys.ts";
import { readSigner } from "../../src/cli/send.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { CommandClient } from "../../src/mqtt/client.ts";
import { KeyRing } from "../../src/mqtt/envelope.ts";
import { MqttOptions } from "../../src/mqtt/options.ts";
import { createClock } from "../../src/system/clock.ts";
import { createRandom } from "../../src/system/random.ts";
import { type Broker, startBroker } from "./broker.ts";
import { Daemon } from "./daemon.ts";
import { referencePack } from "./pack.ts";
import { emptyClip } from "./people.ts";
import { type RtspServer, startRtspServer } from "./rtsp-server.ts";
import { monotonicNow, Tap, until } from "./tap.ts";
import { within } from "./waiting.ts";

const ROOT = resolve(import.meta.dirname, "../..");
export const SITE = "test";
export const DEVICE = "box";
export const BASE = `ostiary/v1/${SITE}/${DEVICE}/`;
export const GROUP = "staff";

/** Nobody waits this long for a machine that is not on its knees; several suites may share two cores. */
const START_MS = 90_000;
const ANSWER_MS = 45_000;
/** A clip, and the tracks' end. */
const VISIT_MS = 45_000;
const STOP_MAX_MS = 5000;
const DOWN_MS = 60_000;

export interface CameraSpec {
  readonly id: string;
  /** Looped; an empty corridor when absent. */
  readonly clip?: string;
  readonly auth?: { readonly user: string; readonly password: string };
  /** More keys of the camera's entry. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface SiteOptions {
  readonly cameras?: readonly CameraSpec[];
  /** Sections of the configuration that replace the site's own. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where the daemon finds the broker; the site's own when absent. */
  readonly brokerUrl?: (own: Broker) => string | Promise<string>;
  readonly env?: Readonly<Record<string, string>>;
  /** Of several devices at one broker: this one's name; {@link DEVICE} unless told. */
  readonly device?: string;
  /** A broker that another owns; one of its own unless told. */
  readonly broker?: Broker;
  /** Directory of the pack that the device comes with; the reference pack's unless told. */
  readonly pack?: string;
}

/** An event of the reliable feed whose signature holds. */
export interface SignedEvent {
  readonly seq: number;
  readonly type: string;
  readonly replayed: boolean;
  readonly body: Readonly<Record<string, unknown>>;
  readonly at: number;
}

/** A decision that the verifying consumer accepted, and when. */
export interface VerifiedDecision extends Decision {
  readonly arrivedAt: number;
}

/** The same three strangers come again and again here: at a real door that is an attack, and the door pauses. */
export const PATIENT = { attemptsPerDoorPerMinuteMax: 10_000, attemptsPerTrackMax: 10_000 };

/** For messages: what was decided, in order. */
export const said = (decisions: readonly VerifiedDecision[]): string =>
  decisions
    .map(({ outcome, reason, identity, door }) => `${door}: ${outcome} ${reason} ${identity ?? ""}`)
    .join(", ") || "nothing";

export const reasons = (
  decisions: readonly VerifiedDecision[],
  reason: string,
): readonly VerifiedDecision[] => decisions.filter((decision) => decision.reason === reason);

/** One RTSP camera of the site. */
export class SiteCamera {
  readonly spec: CameraSpec;
  readonly #idle: string;
  #server: RtspServer;

  private constructor(spec: CameraSpec, idle: string, server: RtspServer) {
    this.spec = spec;
    this.#idle = idle;
    this.#server = server;
  }

  static async start(spec: CameraSpec): Promise<SiteCamera> {
    const idle = spec.clip ?? (await emptyClip());
    return new SiteCamera(spec, idle, await serve(spec, idle, 0));
  }

  get url(): string {
    return this.#server.url(this.spec.id);
  }

  /** Shows another clip once. */
  play(clip: string): Promise<void> {
    return this.#server.command({ play: this.spec.id, clip });
  }

  /** The connection stays and nothing comes any more; {@link thaw} ends it. */
  freeze(): Promise<void> {
    return this.#server.command({ freeze: this.spec.id });
  }

  thaw(): Promise<void> {
    return this.#server.command({ thaw: this.spec.id });
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.#server.kill();
  }

  /** Whole again, whatever was done to it. */
  async mend(): Promise<void> {
    if (this.#server.running) await this.thaw();
    else await this.revive();
  }

  /** Again, on the same port. */
  async revive(): Promise<void> {
    this.#server = await serve(this.spec, this.#idle, this.#server.port);
  }
}

function serve(spec: CameraSpec, clip: string, port: number): Promise<RtspServer> {
  return startRtspServer({
    mounts: { [spec.id]: clip },
    port,
    ...(spec.auth === undefined ? {} : { auth: spec.auth }),
  });
}

export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const site = await Site.open(options);
  try {
    await site.start();
    return site;
  } catch (thrown) {
    await site[Symbol.asyncDispose]();
    throw thrown;
  }
}

export class Site implements AsyncDisposable {
  readonly directory: string;
  readonly configFile: string;
  readonly broker: Broker;
  readonly cameras: readonly SiteCamera[];
  readonly decisions: VerifiedDecision[] = [];
  readonly refusals: string[] = [];
  readonly #options: SiteOptions;
  readonly #stack: AsyncDisposableStack;
  readonly #keyFile: string;
  #config: Record<string, unknown>;
  #daemon: Daemon | undefined;
  #tap: Tap | undefined;
  #commands: CommandClient | undefined;
  #publicKey: string | undefined;
  #door: MqttClient | undefined;

  private constructor(
    parts: Pick<Site, "directory" | "configFile" | "broker" | "cameras"> & {
      options: SiteOptions;
      stack: AsyncDisposableStack;
      keyFile: string;
      config: Record<string, unknown>;
    },
  ) {
    this.directory = parts.directory;
    this.configFile = parts.configFile;
    this.broker = parts.broker;
    this.cameras = parts.cameras;
    this.#options = parts.options;
    this.#stack = parts.stack;
    this.#keyFile = parts.keyFile;
    this.#config = parts.config;
  }

  /** Everything but the daemon. */
  static async open(options: SiteOptions): Promise<Site> {
    const stack = new AsyncDisposableStack();
    try {
      const directory = await mkdtemp(join(tmpdir(), "ostiary-e2e-"));
      stack.defer(() => rm(directory, { recursive: true, force: true }));
      const broker = options.broker ?? stack.use(await startBroker());
      const cameras: SiteCamera[] = [];
      for (const spec of options.cameras ?? [{ id: "front" }]) {
        const camera = await SiteCamera.start(spec);
        stack.defer(() => camera.kill());
        cameras.push(camera);
      }
      const key = await writeNewKey(join(directory, "keys"), "administrator");
      const url = (await options.brokerUrl?.(broker)) ?? broker.url;
      const address = { site: SITE, device: options.device ?? DEVICE, url };
      const { pack = referencePack().directory } = options;
      const config = {
        ...configOf(directory, pack, address, cameras, key.publicKey),
        ...options.config,
      };
      const site = new Site({
        directory,
        configFile: join(directory, "ostiary.yaml"),
        broker,
        cameras,
        options,
        stack,
        keyFile: key.file,
        config,
      });
      await site.configure({});
      return site;
    } catch (thrown) {
      await stack.disposeAsync();
      throw thrown;
    }
  }

  get daemon(): Daemon {
    assert(this.#daemon !== undefined, "the daemon was never started");
    return this.#daemon;
  }

  get tap(): Tap {
    assert(this.#tap !== undefined, "nobody listens yet");
    return this.#tap;
  }

  get commands(): CommandClient {
    assert(this.#commands !== undefined, "nobody can command yet");
    return this.#commands;
  }

  /** The verifying consumer's connection. */
  get door(): MqttClient {
    assert(this.#door !== undefined, "nobody listens yet");
    return this.#door;
  }

  get keyFile(): string {
    return this.#keyFile;
  }

  get config(): Readonly<Record<string, unknown>> {
    return this.#config;
  }

  get device(): string {
    return this.#options.device ?? DEVICE;
  }

  /** Of all its topics. */
  get base(): string {
    return `ostiary/v1/${SITE}/${this.device}/`;
  }

  /** Of the device's signing key, once it was heard. */
  get publicKey(): string {
    return this.#publicKey ?? "";
  }

  get mqtt(): MqttOptions {
    return MqttOptions.parse({ url: this.broker.url, site: SITE, device: this.device });
  }

  camera(id: string): SiteCamera {
    const camera = this.cameras.find(({ spec }) => spec.id === id);
    assert(camera !== undefined, `no camera ${id}`);
    return camera;
  }

  /** Replaces sections of the file. Nobody is told. */
  async configure(sections: Readonly<Record<string, unknown>>): Promise<void> {
    this.#config = { ...this.#config, ...sections };
    await writeFile(this.configFile, stringify(this.#config), { mode: 0o600 });
  }

  /** Starts the daemon and waits until it says that it runs and, on the broker, that every camera is online. */
  async start({ waitForBroker = true } = {}): Promise<void> {
    const from = monotonicNow();
    this.#daemon = new Daemon(this.configFile, this.#options.env);
    await this.eventually(() => this.logged("started"), "the daemon starts", START_MS);
    if (!waitForBroker) return;
    await this.listen();
    await this.eventually(() => this.presence(from) === "online", "state is online", START_MS);
    for (const { spec } of this.cameras) await this.cameraIs(spec.id, "online", from);
  }

  /** Tap, door and command client; once. */
  async listen(): Promise<void> {
    if (this.#tap !== undefined) return;
    const tap = await Tap.open(this.broker.url);
    this.#tap = this.#stack.use(tap);
    const info = await this.eventually(
      () => tap.last(`${this.base}info`),
      "info is published",
      START_MS,
    );
    this.#publicKey = (info["deviceKey"] as { readonly publicKey: string }).publicKey;
    const door = consume(
      {
        url: this.broker.url,
        device: `${SITE}/${this.device}`,
        publicKey: this.#publicKey,
        maxSkewMs: 0,
        mqtt: { reconnectPeriod: 30 },
      },
      {
        onDecision: (decision) =>
          void this.decisions.push({ ...decision, arrivedAt: monotonicNow() }),
        onRefused: (code) => void this.refusals.push(code),
      },
      Date.now,
    );
    this.#door = door;
    door.on("error", () => undefined);
    this.#stack.defer(() => door.endAsync(true));
    await this.connectCommands();
  }

  /** A client with a stream of its own; the one before is closed. */
  async connectCommands(): Promise<CommandClient> {
    const before = this.#commands;
    this.#commands = undefined;
    if (before !== undefined) await before[Symbol.asyncDispose]();
    else this.#stack.defer(async () => this.#commands?.[Symbol.asyncDispose]());
    const clock = createClock();
    const random = createRandom();
    this.#commands = await CommandClient.open(
      this.mqtt,
      { clock, signer: await readSigner(this.#keyFile), newId: () => random.id(clock.epochMs()) },
      AbortSignal.timeout(START_MS),
    );
    return this.#commands;
  }

  ask(cmd: string, args: unknown, id?: string): Promise<Answer> {
    const asked = this.commands.ask(cmd, args, {
      timeoutMs: ANSWER_MS,
      ...(id === undefined ? {} : { id }),
    });
    // Its own limit counts from the moment when the broker has the command.
    return within(asked, `an answer to ${cmd}`, 2 * ANSWER_MS, () => this.daemon.tail);
  }

  /** @throws when it is refused */
  async done(cmd: string, args: unknown): Promise<Readonly<Record<string, unknown>>> {
    const answer = await this.ask(cmd, args);
    assert(answer.ok, `${cmd}: ${JSON.stringify(answer)}\n${this.daemon.tail}`);
    return answer.data as Readonly<Record<string, unknown>>;
  }

  /** @returns the code with which it was refused */
  async refused(cmd: string, args: unknown): Promise<string> {
    const answer = await this.ask(cmd, args);
    assert(!answer.ok, `${cmd} was not refused: ${JSON.stringify(answer)}`);
    return answer.error.code;
  }

  status(): Promise<Readonly<Record<string, unknown>>> {
    return this.done("device/status", {});
  }

  /** SIGTERM. @throws unless it leaves with 0 in time */
  async stop(): Promise<void> {
    this.daemon.signal("SIGTERM");
    const { code, ms } = await this.daemon.ended();
    assert.equal(code, 0, `exit code after SIGTERM\n${this.daemon.tail}`);
    assert(ms <= STOP_MAX_MS, `the stop took ${Math.round(ms)} ms\n${this.daemon.tail}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.daemon.signal(signal);
    await this.daemon.ended();
  }

  /** Decisions from `since` on, as the door believed them. */
  since(since: number): readonly VerifiedDecision[] {
    return this.decisions.filter(({ arrivedAt }) => arrivedAt >= since);
  }

  /** Nobody is in view any more: every track has ended. */
  async settled(): Promise<void> {
    await this.eventually(
      async () => ((await this.status())["doorkeeper"] as { readonly tracks: number }).tracks === 0,
      "everybody has left",
      VISIT_MS,
      200,
    );
  }

  /**
   * One visit, from the entrance to the end of its tracks.
   *
   * @param enough what it takes, from its decisions so far
   * @returns its decisions, as the door believed them
   */
  async visit(
    cameraId: string,
    clip: string,
    enough: (decisions: readonly VerifiedDecision[]) => boolean,
  ): Promise<readonly VerifiedDecision[]> {
    const from = monotonicNow();
    await this.camera(cameraId).play(clip);
    await this.eventually(() => enough(this.since(from)), "the visit is decided", VISIT_MS).catch(
      (fault: unknown) => {
        throw new Error(`the visit brought: ${said(this.since(from))}`, { cause: fault });
      },
    );
    await this.settled();
    return this.since(from);
  }

  events(since = 0): readonly SignedEvent[] {
    const keys = new KeyRing([this.publicKey]);
    return this.tap.on(`${this.base}event`, since).map(({ text, at }) => {
      const envelope = JSON.parse(text);
      assert(keys.verify(envelope), "an event is not signed by the device");
      const { seq, type, replayed, body, actionable } = JSON.parse(envelope.payload);
      assert.equal(actionable, false);
      return { seq, type, replayed: replayed === true, body, at };
    });
  }

  presence(since = 0): unknown {
    return this.tap
      .on(`${this.base}state`, since)
      .map(({ text }) => JSON.parse(text)["state"])
      .at(-1);
  }

  cameraState(id: string, since = 0): Readonly<Record<string, unknown>> | undefined {
    return this.tap.last(`${this.base}camera/${id}/state`, since);
  }

  /** @returns when it was heard, on the monotonic clock */
  async cameraIs(id: string, status: string, since = 0, timeoutMs = START_MS): Promise<number> {
    await this.eventually(
      () => this.cameraState(id, since)?.["status"] === status,
      `camera ${id} is ${status}`,
      timeoutMs,
    );
    return this.tap.on(`${this.base}camera/${id}/state`, since).at(-1)?.at ?? 0;
  }

  logged(message: string): boolean {
    return this.daemon.log.some((line) => line["message"] === message);
  }

  /** As {@link until}, with the end of the log when it fails; a daemon that is gone ends it at once. */
  eventually<T>(
    look: () => T | undefined | false | Promise<T | undefined | false>,
    what: string,
    timeoutMs: number,
    everyMs = 20,
  ): Promise<T> {
    return until(
      async () => {
        const found = await look();
        if (found === undefined || found === false)
          assert(
            this.daemon.running,
            `the daemon is gone; waited for: ${what}\n${this.daemon.tail}`,
          );
        return found;
      },
      what,
      timeoutMs,
      () => this.daemon.tail,
      everyMs,
    );
  }

  /** The command line tool, with this site's configuration. */
  cli(
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
    return new Promise((done) => {
      execFile(
        process.execPath,
        [join(ROOT, "src/main.ts"), ...args, "--config", this.configFile],
        { cwd: ROOT, timeout: ANSWER_MS, killSignal: "SIGKILL" },
        (error, out, err) => done({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon?.running === true) await this.kill();
    await within(this.#stack.disposeAsync(), "the site is taken down", DOWN_MS);
  }
}

function configOf(
  directory: string,
  pack: string,
  address: { readonly site: string; readonly device: string; readonly url: string },
  cameras: readonly SiteCamera[],
  publicKey: string,
): Record<string, unknown> {
  return {
    mqtt: { ...address, reconnect: { firstMs: 200, maxMs: 1000 } },
    cameras: cameras.map(({ spec, url: cameraUrl }) => ({
      id: spec.id,
      url: cameraUrl,
      fps: 10,
      ...spec.options,
    })),
    access: {
      groups: [GROUP, "visitors"],
      doors: cameras.map(({ spec }) => ({
        id: `${spec.id}-door`,
        cameras: [spec.id],
        allow: { [GROUP]: ["always"] },
      })),
    },
    control: { keys: [{ name: "administrator", publicKey, role: "administrator" }] },
    // The reference pack has no calibration of its own.
    match: { cosineMin: 0.5 },
    decision: PATIENT,
    paths: {
      state: join(directory, "state"),
      runtime: join(directory, "run"),
      pack,
    },
    insecure: { generatedDeviceKey: true, demoOnlyPack: true },
    telemetry: { level: "debug" },
  };
}
