/**
 * Main's handle on the vision process: starts it, watches it, replaces it when it dies, hangs or grows,
 * and gives the successor the pack, the cameras' frame sockets and what they were doing.
 */

import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { backoffMs } from "../lib/backoff.ts";
import type { CameraId } from "../lib/brand.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { ImageAnalysis, PackLoaded, SampleRate, SourceCrop } from "../observation/messages.ts";
import { AttachedCameras, type SizeLimit } from "./attached.ts";
import { type AnswerOf, type LinkListener, VisionLink } from "./link.ts";
import type {
  Cancel,
  Successor,
  VisionDeps,
  VisionListener,
  VisionProcessOptions,
  VisionStatus,
} from "./process-types.ts";
import { watchLink } from "./watch-link.ts";

export type { Successor, VisionListener, VisionProcessOptions, VisionStatus };

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

export class VisionProcess implements AsyncDisposable {
  readonly #options: Required<VisionProcessOptions>;
  readonly #deps: VisionDeps;
  readonly #cameras = new AttachedCameras();
  readonly #collecting = new Set<CameraId>();
  #packDirectory: string;
  #rate: SampleRate | undefined;
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
    this.#packDirectory = options.packDirectory;
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
    const { clock, random } = this.#deps;
    this.#isLooking = true;
    this.#link?.tell({ kind: "look" });
    let attempt = 0;
    while (!signal.aborted) {
      const link = this.#link;
      if (link !== undefined) {
        const since = clock.monotonicMs();
        const onRss = (bytes: number): void => {
          this.#rssBytes = bytes;
        };
        const reason = await watchLink(link, this.#options, { clock, onRss }, signal);
        if (signal.aborted) return;
        const isReplaced = this.#link !== link;
        if (isReplaced || clock.monotonicMs() - since >= STABLE_MS) attempt = 0;
        if (isReplaced) continue;
        this.#lost(reason);
      }
      await clock.sleep(backoffMs(attempt, random(), this.#options.backoff), signal);
      attempt += 1;
      // Another pack's process may serve by now.
      if (!signal.aborted && this.#link === undefined) await this.#replace(signal);
    }
  }

  /**
   * Another pack's process, loaded and warm, beside the one that serves. It sees no camera until it
   * {@link adopt}s them.
   *
   * @throws the Fault with which the pack was refused, `vision_restarted`
   */
  async prepare(packDirectory: string, signal?: AbortSignal): Promise<Successor> {
    const link = this.#linkTo();
    const loaded = await this.#load(link, packDirectory, signal);
    return {
      loaded,
      pid: link.pid,
      embedCrops: (crops, options = {}) =>
        link.ask({ kind: "embed-crops", crops }, REQUEST_MS, options.signal),
      adopt: () => this.#adopt(link, loaded, packDirectory),
      [Symbol.asyncDispose]: async () => {
        if (this.#link === link) return;
        link.kill();
        await link.ended;
      },
    };
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
  attach(cameraId: CameraId, socket: Socket, header?: Uint8Array, size: SizeLimit = {}): void {
    this.#cameras.set(cameraId, socket, header, size);
    this.#hand();
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

  /** Copies of some frames are told to the listener from now on; without a rate, none. */
  sample(rate: SampleRate | undefined): void {
    this.#rate = rate;
    this.#link?.tell({ kind: "sample", rate });
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

  /** The golden vectors again, in the process that serves. @throws as {@link ping} */
  async selfTest(runs: number, options: Cancel = {}): Promise<AnswerOf<"self-test">> {
    return this.#serving().ask({ kind: "self-test", runs }, REQUEST_MS, options.signal);
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
    this.#state = "starting";
    const link = this.#linkTo();
    this.#link = link;
    const reading = onReading === undefined ? undefined : this.#reads(link, signal, onReading);
    try {
      const loaded = await this.#load(link, this.#packDirectory, signal);
      await reading;
      if (this.#isDisposed || this.#link !== link)
        throw new Fault("aborted", "vision was stopped, or replaced, while it started");
      this.#serve(link, loaded);
      return loaded;
    } catch (thrown) {
      if (this.#link === link) this.#link = undefined;
      throw thrown;
    }
  }

  /** @throws what the pack was refused with, and then the process has ended */
  async #load(link: VisionLink, directory: string, signal?: AbortSignal): Promise<PackLoaded> {
    const { vision: options, loadMs } = this.#options;
    try {
      return await link.ask({ kind: "load-pack", directory, options }, loadMs, signal);
    } catch (thrown) {
      link.kill();
      await link.ended;
      throw thrown;
    }
  }

  /** From now on this process looks at the cameras. */
  #serve(link: VisionLink, loaded: PackLoaded): void {
    this.#link = link;
    this.#loaded = loaded;
    this.#state = "ready";
    this.#hand();
    for (const cameraId of this.#collecting) link.tell({ kind: "collect", cameraId, active: true });
    if (this.#rate !== undefined) link.tell({ kind: "sample", rate: this.#rate });
    if (this.#isLooking) link.tell({ kind: "look" });
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
    this.#hand();
    onReading();
  }

  /** To a process that drains them. */
  #hand(): void {
    const drains = this.#state === "ready" || this.#isReading;
    if (this.#link !== undefined && drains) this.#cameras.handTo(this.#link);
  }

  #linkTo(): VisionLink {
    const { listener } = this.#deps;
    // What was on its way when its camera was detached, or its process replaced, belongs to nobody.
    const isKnown = (cameraId: CameraId): boolean =>
      this.#link === link && this.#cameras.has(cameraId);
    const filtered: LinkListener = {
      onObserve: (message) => {
        if (isKnown(message.cameraId)) listener.onObserve(message);
      },
      onHealth: (message) => {
        if (isKnown(message.cameraId)) listener.onHealth(message);
      },
      onStreamHeader: (cameraId, bytes) => {
        if (!isKnown(cameraId)) return;
        this.#cameras.noteHeader(cameraId, bytes);
        listener.onStreamHeader(cameraId, bytes);
      },
      onSample: (message) => {
        if (isKnown(message.frame.cameraId)) listener.onSample?.(message);
      },
    };
    const link = new VisionLink({ entry: this.#options.entry, listener: filtered }, this.#deps);
    return link;
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

  /** The process that served ends first: two readers of one socket would tear its frames. */
  async #adopt(link: VisionLink, loaded: PackLoaded, packDirectory: string): Promise<void> {
    if (this.#isDisposed || link.hasEnded)
      throw new Fault("vision_restarted", "the new pack's process ended before it could serve", {
        retry: "later",
      });
    const before = this.#link;
    this.#packDirectory = packDirectory;
    this.#isReading = false;
    this.#state = "starting";
    this.#link = link;
    before?.kill();
    await before?.ended;
    if (this.#link === link && !this.#isDisposed) this.#serve(link, loaded);
  }

  async #replace(signal: AbortSignal): Promise<void> {
    try {
      const loaded = await this.#open(signal);
      this.#deps.log.info({ packId: loaded.packId, provider: loaded.provider }, "vision is back");
      this.#deps.listener.onBack(loaded);
    } catch (thrown) {
      // Or another pack's process took over meanwhile.
      if (signal.aborted || this.#link !== undefined) return;
      this.#state = "backoff";
      this.#deps.log.error(
        { code: codeOf(thrown) },
        `vision cannot be started: ${messageOf(thrown)}`,
      );
    }
  }
}
