/**
 * Main's handle on the vision process: starts it, watches it, replaces it when it dies, hangs or grows,
 * and gives the successor the pack, the cameras' frame sockets and what they were doing.
 */

import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { type BackoffOptions, backoffMs } from "../lib/backoff.ts";
import type { CameraId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type {
  ImageAnalysis,
  PackLoaded,
  SourceCrop,
  VisionOptions,
} from "../observation/messages.ts";
import { type AnswerOf, type LinkListener, VisionLink } from "./link.ts";

export interface VisionProcessOptions {
  readonly packDirectory: string;
  readonly vision: VisionOptions;
  /** Replaced when a ping is not answered for this long. */
  readonly hangMs?: number;
  /** Time to load the pack: TensorRT builds its engines then. */
  readonly loadMs?: number;
  readonly rssMaxBytes?: number;
  readonly backoff?: BackoffOptions;
  /** Module that runs the process. */
  readonly entry?: string;
}

/** Called from the event loop: must be quick and must not throw. */
export interface VisionListener extends LinkListener {
  /** The process is gone; the decoders run on. */
  readonly onLost: (reason: string) => void;
  /** Another one serves; cameras that were attached are attached to it already. */
  readonly onBack: (loaded: PackLoaded) => void;
}

export interface VisionStatus {
  readonly state: "ready" | "starting" | "backoff";
  readonly restarts: number;
  readonly rssBytes: number;
  /** Messages that the running process sent and that did not parse. */
  readonly invalidMessages: number;
  readonly loaded?: PackLoaded;
}

interface AttachedCamera {
  readonly socket: Socket;
  readonly header: Uint8Array | undefined;
  readonly size: { readonly widthPx?: number | undefined; readonly heightPx?: number | undefined };
  /** The process that has the socket. */
  link: VisionLink | undefined;
}

interface Cancel {
  readonly signal?: AbortSignal | undefined;
}

const PING_MS = 1000;
const REQUEST_MS = 15_000;
const SNAPSHOT_MS = 5000;
/** A process that ran this long was well: the next wait is the first again. */
const STABLE_MS = 60_000;
const DEFAULTS = {
  hangMs: 5000,
  loadMs: 600_000,
  rssMaxBytes: 1024 ** 3,
  backoff: { firstMs: 100, maxMs: 30_000 },
};

export interface VisionDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly listener: VisionListener;
}

export class VisionProcess implements AsyncDisposable {
  readonly #options: Required<VisionProcessOptions>;
  readonly #deps: VisionDeps;
  readonly #cameras = new Map<CameraId, AttachedCamera>();
  readonly #collecting = new Set<CameraId>();
  #link: VisionLink | undefined;
  #state: VisionStatus["state"] = "starting";
  #loaded: PackLoaded | undefined;
  #restarts = 0;
  #rssBytes = 0;
  /** The first process drains frame sockets before its models are loaded. */
  #isReading = false;
  #isLooking = false;
  #isDisposed = false;

  constructor(options: VisionProcessOptions, deps: VisionDeps) {
    const entry = fileURLToPath(
      new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url),
    );
    this.#options = { ...DEFAULTS, entry, ...options };
    this.#deps = deps;
  }

  /**
   * Starts the first process. It looks at frames once {@link run} is called.
   *
   * @param onReading called when it drains frame sockets, its models still loading: a decoder that starts
   *   now finds a reader, so that its first frames are dated when they come and not when somebody has time
   * @throws the Fault with which the pack was refused, or `vision_restarted`
   */
  async start(signal?: AbortSignal, onReading?: () => void): Promise<PackLoaded> {
    return this.#open(signal, onReading);
  }

  /** Has frames looked at, watches and replaces until `signal` aborts. After {@link start}. */
  async run(signal: AbortSignal): Promise<void> {
    this.#isLooking = true;
    this.#link?.tell({ kind: "look" });
    let attempt = 0;
    while (!signal.aborted) {
      const link = this.#link;
      if (link !== undefined) {
        const since = this.#deps.clock.monotonicMs();
        const reason = await this.#watch(link, signal);
        if (signal.aborted) return;
        this.#lost(reason);
        if (this.#deps.clock.monotonicMs() - since >= STABLE_MS) attempt = 0;
      }
      await this.#deps.clock.sleep(
        backoffMs(attempt, this.#deps.random(), this.#options.backoff),
        signal,
      );
      attempt += 1;
      if (!signal.aborted) await this.#replace(signal);
    }
  }

  status(): VisionStatus {
    return {
      state: this.#state,
      restarts: this.#restarts,
      rssBytes: this.#rssBytes,
      invalidMessages: this.#link?.invalidMessages ?? 0,
      ...(this.#loaded === undefined ? {} : { loaded: this.#loaded }),
    };
  }

  /** Of the running process, for tests and status. */
  get pid(): number | undefined {
    return this.#link?.pid;
  }

  /**
   * Hands a decoder's frame socket on; it stays open here and must not be read. Attaching the same socket
   * again changes nothing.
   *
   * @param header what `onStreamHeader` gave for this stream before
   * @param size the largest picture that the decoder may send
   */
  attach(
    cameraId: CameraId,
    socket: Socket,
    header?: Uint8Array,
    size: AttachedCamera["size"] = {},
  ): void {
    const known = this.#cameras.get(cameraId);
    const isSame = known?.socket === socket;
    const camera: AttachedCamera = {
      socket,
      header: header ?? (isSame ? known.header : undefined),
      size,
      link: isSame ? known.link : undefined,
    };
    this.#cameras.set(cameraId, camera);
    this.#hand(cameraId, camera);
  }

  detach(cameraId: CameraId): void {
    this.#cameras.delete(cameraId);
    this.#link?.tell({ kind: "detach", cameraId });
  }

  /** While active, observations of that camera carry source crops of shots that are good enough to enrol. */
  collect(cameraId: CameraId, active: boolean): void {
    if (active) this.#collecting.add(cameraId);
    else this.#collecting.delete(cameraId);
    this.#link?.tell({ kind: "collect", cameraId, active });
  }

  /**
   * @param image JPEG or PNG
   * @throws Fault `image_corrupt`, `image_too_large`, `image_unsupported`, `vision_restarted`, `vision_timeout`, `vision_away`
   */
  async analyseImage(
    image: Uint8Array,
    options: Cancel & { readonly maxFaces: number },
  ): Promise<ImageAnalysis> {
    return this.#serving().ask(
      { kind: "analyse-image", image, maxFaces: options.maxFaces },
      REQUEST_MS,
      options.signal,
    );
  }

  /** Unit vectors in the order of the crops. @throws as {@link analyseImage}, and `crop_unusable` */
  async embedCrops(
    crops: readonly SourceCrop[],
    options: Cancel = {},
  ): Promise<AnswerOf<"embed-crops">> {
    return this.#serving().ask({ kind: "embed-crops", crops }, REQUEST_MS, options.signal);
  }

  /** JPEG of the next frame. @throws Fault `camera_away`, `vision_timeout` when no frame comes */
  async snapshot(cameraId: CameraId, options: Cancel = {}): Promise<AnswerOf<"snapshot">> {
    return this.#serving().ask({ kind: "snapshot", cameraId }, SNAPSHOT_MS, options.signal);
  }

  /** Both threads answer, so a model that hangs does not. @throws Fault `vision_away`, `vision_timeout`, `vision_restarted` */
  async ping(options: Cancel = {}): Promise<AnswerOf<"ping">> {
    return this.#serving().ask({ kind: "ping" }, this.#options.hangMs, options.signal);
  }

  /** Ends the process. Frame sockets stay open: they are their decoders' owners'. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    const link = this.#link;
    this.#link = undefined;
    link?.kill();
    await link?.ended;
  }

  #serving(): VisionLink {
    if (this.#state === "ready" && this.#link !== undefined) return this.#link;
    throw new Fault("vision_away", "the vision process is being started; try again in a moment", {
      retry: "later",
    });
  }

  async #open(signal?: AbortSignal, onReading?: () => void): Promise<PackLoaded> {
    const { clock, log, listener } = this.#deps;
    this.#state = "starting";
    const link = new VisionLink(this.#options.entry, this.#filtered(listener), { clock, log });
    this.#link = link;
    try {
      const { packDirectory: directory, vision: options, loadMs } = this.#options;
      const reading = onReading === undefined ? undefined : this.#reads(link, signal, onReading);
      this.#loaded = await link.ask({ kind: "load-pack", directory, options }, loadMs, signal);
      await reading;
    } catch (thrown) {
      link.kill();
      await link.ended;
      if (this.#link === link) this.#link = undefined;
      throw thrown;
    }
    if (this.#isDisposed) throw new Fault("aborted", "vision was stopped while it started");
    this.#state = "ready";
    this.#handAll();
    for (const cameraId of this.#collecting) link.tell({ kind: "collect", cameraId, active: true });
    if (this.#isLooking) link.tell({ kind: "look" });
    return this.#loaded;
  }

  /** Both of its threads answer: it drains what it is given from now on. */
  async #reads(
    link: VisionLink,
    signal: AbortSignal | undefined,
    onReading: () => void,
  ): Promise<void> {
    const answered = await link.ask({ kind: "ping" }, this.#options.loadMs, signal).then(
      () => true,
      // Its end is told by the answer about the pack.
      () => false,
    );
    if (!answered || this.#isDisposed) return;
    this.#isReading = true;
    this.#handAll();
    onReading();
  }

  #handAll(): void {
    for (const [cameraId, camera] of this.#cameras) this.#hand(cameraId, camera);
  }

  #filtered(listener: VisionListener): LinkListener {
    return {
      onObserve: (message) => {
        // What was on its way when its camera was detached belongs to nobody.
        if (this.#cameras.has(message.cameraId)) listener.onObserve(message);
      },
      onHealth: (message) => {
        if (this.#cameras.has(message.cameraId)) listener.onHealth(message);
      },
      onStreamHeader: (cameraId, bytes) => {
        const camera = this.#cameras.get(cameraId);
        if (camera === undefined) return;
        this.#cameras.set(cameraId, { ...camera, header: bytes });
        listener.onStreamHeader(cameraId, bytes);
      },
    };
  }

  #hand(cameraId: CameraId, camera: AttachedCamera): void {
    const drains = this.#state === "ready" || this.#isReading;
    if (this.#link === undefined || !drains || camera.link === this.#link) return;
    camera.link = this.#link;
    this.#link.tell(
      { kind: "attach", cameraId, header: camera.header, ...camera.size },
      camera.socket,
    );
  }

  /** Until the process ends or must be ended. @returns why */
  async #watch(link: VisionLink, signal: AbortSignal): Promise<string> {
    const over = new AbortController();
    const pinging = this.#ping(link, AbortSignal.any([signal, over.signal]));
    const stopped = new Promise<string>((resolve) =>
      signal.addEventListener("abort", () => resolve("stopped"), {
        once: true,
        signal: over.signal,
      }),
    );
    const reason = await Promise.race([link.ended, pinging, stopped]);
    over.abort();
    if (reason !== "stopped") {
      link.kill();
      await link.ended;
    }
    return reason;
  }

  /** @returns why the process must be replaced, or "stopped" */
  async #ping(link: VisionLink, signal: AbortSignal): Promise<string> {
    const { hangMs, rssMaxBytes } = this.#options;
    while (!signal.aborted) {
      await this.#deps.clock.sleep(PING_MS, signal);
      if (signal.aborted) break;
      try {
        const { rssBytes } = await link.ask({ kind: "ping" }, hangMs, signal);
        this.#rssBytes = rssBytes;
        if (rssBytes > rssMaxBytes)
          return `memory: ${Math.round(rssBytes / 2 ** 20)} MiB, ${Math.round(rssMaxBytes / 2 ** 20)} are allowed`;
      } catch (thrown) {
        if (codeOf(thrown) === "vision_timeout") return `hang: no answer for ${hangMs} ms`;
        // Ended: that promise says why. Anything else is tried again.
        if (codeOf(thrown) === "vision_restarted") return link.ended;
      }
    }
    return "stopped";
  }

  #lost(reason: string): void {
    this.#link = undefined;
    this.#isReading = false;
    this.#state = "backoff";
    this.#restarts += 1;
    this.#deps.log.warn(
      { reason, restarts: this.#restarts },
      "the vision process is gone and will be replaced",
    );
    this.#deps.listener.onLost(reason);
  }

  async #replace(signal: AbortSignal): Promise<void> {
    try {
      const loaded = await this.#open(signal);
      this.#deps.log.info({ packId: loaded.packId, provider: loaded.provider }, "vision is back");
      this.#deps.listener.onBack(loaded);
    } catch (thrown) {
      if (signal.aborted) return;
      this.#state = "backoff";
      this.#deps.log.error(
        { code: codeOf(thrown) },
        `vision cannot be started: ${messageOf(thrown)}`,
      );
    }
  }
}
