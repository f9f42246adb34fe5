/**
 * A second vision process, without cameras, for a pack that is to serve later: it tests itself, embeds
 * source crops and looks at frames that it is sent. It runs at low priority and may die of its models.
 */
import { fileURLToPath } from "node:url";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type {
  PackLoaded,
  SampledFrame,
  SelfTestResult,
  ShadowLook,
  SourceCrop,
  VisionOptions,
} from "../observation/messages.ts";
import { type AnswerOf, VisionLink } from "./link.ts";
import { watchLink } from "./watch-link.ts";

export interface CandidateProcessOptions {
  readonly packDirectory: string;
  readonly vision: VisionOptions;
  /** Time to load the pack: TensorRT builds its engines then. */
  readonly loadMs?: number;
  /** Module that runs the process. */
  readonly entry?: string;
}

const LOAD_MS = 600_000;
const REQUEST_MS = 60_000;
/** As a serving process: the self-test has judged what it takes at first, and this what it grows to. */
const RSS_MAX_BYTES = 1024 ** 3;

export class CandidateProcess implements AsyncDisposable {
  readonly loaded: PackLoaded;
  readonly #link: VisionLink;
  readonly #stop = new AbortController();

  private constructor(link: VisionLink, loaded: PackLoaded, clock: Clock) {
    this.#link = link;
    this.loaded = loaded;
    const limits = { hangMs: REQUEST_MS, rssMaxBytes: RSS_MAX_BYTES };
    void watchLink(link, limits, { clock, onRss: () => undefined }, this.#stop.signal);
  }

  /**
   * @throws Fault of `load-pack`; `vision_restarted` when the process died of it, `vision_timeout`
   */
  static async open(
    { packDirectory: directory, vision: options, loadMs = LOAD_MS, entry }: CandidateProcessOptions,
    deps: { readonly clock: Clock; readonly log: Log },
    signal?: AbortSignal,
  ): Promise<CandidateProcess> {
    const link = new VisionLink(
      { entry: entry ?? ownEntry(), listener: NOBODY, isExpendable: true },
      deps,
    );
    try {
      const loaded = await link.ask({ kind: "load-pack", directory, options }, loadMs, signal);
      return new CandidateProcess(link, loaded, deps.clock);
    } catch (thrown) {
      link.kill();
      await link.ended;
      throw thrown;
    }
  }

  get pid(): number | undefined {
    return this.#link.pid;
  }

  /** Resolves with the reason once the process is gone. */
  get ended(): Promise<string> {
    return this.#link.ended;
  }

  /** @throws Fault `vision_restarted`, `vision_timeout` */
  selfTest(runs: number, timeoutMs: number, signal?: AbortSignal): Promise<SelfTestResult> {
    return this.#link.ask({ kind: "self-test", runs }, timeoutMs, signal);
  }

  /** Unit vectors in the order of the crops. @throws Fault `crop_unusable` and as {@link selfTest} */
  embedCrops(crops: readonly SourceCrop[], signal?: AbortSignal): Promise<AnswerOf<"embed-crops">> {
    return this.#link.ask({ kind: "embed-crops", crops }, REQUEST_MS, signal);
  }

  /** The whole face step on one frame. @throws Fault `frame_invalid` and as {@link selfTest} */
  look(frame: SampledFrame, signal?: AbortSignal): Promise<ShadowLook> {
    return this.#link.ask({ kind: "shadow", frame }, REQUEST_MS, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#link.kill();
    await this.#link.ended;
  }
}

const NOBODY = {
  onObserve: () => undefined,
  onHealth: () => undefined,
  onStreamHeader: () => undefined,
};

function ownEntry(): string {
  return fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url),
  );
}
