/** What main's handle on the vision process is told, needs and says of itself. */
import type { BackoffOptions } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { PackLoaded, SourceCrop, VisionOptions } from "../observation/messages.ts";
import type { AnswerOf, LinkListener } from "./link.ts";

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

/** A process with another pack that waits beside the serving one. Ends when disposed, unless it serves. */
export interface Successor extends AsyncDisposable {
  readonly loaded: PackLoaded;
  readonly pid: number | undefined;
  /** As `VisionProcess.embedCrops`, in its own space. */
  readonly embedCrops: (
    crops: readonly SourceCrop[],
    options?: Cancel,
  ) => Promise<AnswerOf<"embed-crops">>;
  /**
   * Serves from now on; the process that did so has ended when this resolves.
   *
   * @throws Fault `vision_restarted` when it has ended itself: then nothing was changed
   */
  readonly adopt: () => Promise<void>;
}

export interface Cancel {
  readonly signal?: AbortSignal | undefined;
}

export interface VisionDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly listener: VisionListener;
}
