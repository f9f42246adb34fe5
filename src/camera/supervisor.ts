/** One camera: keeps a decoder running, watches what comes of it, and says how it is. */
import type { Socket } from "node:net";
import { backoffMs } from "../lib/backoff.ts";
import type { CameraId, MonotonicMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type { CameraHealthMessage } from "../observation/messages.ts";
import {
  type CameraErrorCode,
  CameraStanding,
  type CameraState,
  type CameraStatus,
} from "./camera-state.ts";
import { Decoder, type DecoderEnd } from "./decoder.ts";
import { decoderCommand } from "./decoder-command.ts";
import { fixOf } from "./decoder-error.ts";
import type { CameraOptions, Preset } from "./options.ts";
import { type CameraSource, isLocal, redactor, sourceOf } from "./source.ts";
import {
  isDegraded,
  type RestartReason,
  startWatch,
  step,
  type WatchInput,
  type WatchLimits,
  type WatchState,
} from "./watch.ts";

export type { CameraErrorCode, CameraState, CameraStatus } from "./camera-state.ts";

/** Who takes the frame sockets: the handle on the vision process. */
export interface FrameSink {
  /** Hands `socket` on, keeping it open here (`keepOpen`). `header` is what vision reported of this stream before. */
  readonly attach: (cameraId: CameraId, socket: Socket, header: Uint8Array | undefined) => void;
  readonly detach: (cameraId: CameraId) => void;
}

export interface CameraDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A directory of mode 0700 for the frame sockets. */
  readonly runtimeDirectory: string;
  readonly frames: FrameSink;
}

type End =
  | { readonly kind: "aborted" }
  | { readonly kind: "ended"; readonly code: CameraErrorCode; readonly detail: string };

interface Booked {
  readonly end: End;
  /** Frames had flowed long enough: the next wait is the first again. */
  readonly stable: boolean;
}

const TICK_MS = 250;
const DRAIN_MS = 1000;
const VISION_AWAY_MAX_MS = 30_000;
/** Frames for this long end a series of failures: the next wait is the first again. */
const STABLE_MS = 10_000;
const FROZEN_DOUBLINGS_MAX = 6;

export class Camera implements AsyncDisposable {
  readonly id: CameraId;
  readonly #options: CameraOptions;
  readonly #preset: Preset;
  readonly #deps: CameraDeps;
  readonly #source: CameraSource;
  readonly #standing: CameraStanding;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(state: CameraState) => void>();
  #running: Promise<void> | undefined;
  #decoder: Decoder | undefined;
  #socket: Socket | undefined;
  #header: Uint8Array | undefined;
  #watch: WatchState | undefined;
  #restart: (reason: RestartReason) => void = () => undefined;
  #visionAway = false;
  #visionReturned: () => void = () => undefined;
  #frozenStreak = 0;
  #loggedLoss: CameraErrorCode | undefined;

  /** @param options.preset as `choosePreset` chose it */
  constructor(options: CameraOptions, deps: CameraDeps) {
    this.id = options.id;
    this.#options = options;
    this.#preset = options.preset;
    this.#deps = { ...deps, log: deps.log.child({ cameraId: options.id }) };
    this.#source = sourceOf(options.url);
    this.#standing = new CameraStanding(this.#deps);
  }

  /** Keeps the camera connected until `signal` aborts, or until a file that is not looped has ended. */
  run(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#loop(AbortSignal.any([signal, this.#stop.signal]));
    return this.#running;
  }

  state(): CameraState {
    const now = this.#deps.clock.monotonicMs();
    const watch = this.#watch;
    const flowing = watch?.firstFrameAt !== undefined;
    return {
      id: this.id,
      ...this.#standing.value,
      fps: flowing ? watch.fps : 0,
      ...(flowing ? { frameAgeMs: Math.max(0, now - watch.progressAt) } : {}),
    };
  }

  /** Calls `listener` when the status, a count or the last error changed; returns how to end that. */
  onStateChange(listener: (state: CameraState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onHealth(health: CameraHealthMessage): void {
    this.#observe({ kind: "health", health });
  }

  /** The running decoder's stream header, as vision read it: the next vision process needs it. */
  onStreamHeader(bytes: Uint8Array): void {
    if (this.#socket !== undefined) this.#header = bytes;
  }

  /** The vision process is gone: the decoder runs on for a while, and nothing is held against the camera. */
  visionLost(): void {
    this.#visionAway = true;
    this.#observe({ kind: "vision-lost" });
  }

  /** A vision process is ready: it gets the frame socket. */
  visionBack(): void {
    this.#visionAway = false;
    this.#visionReturned();
    if (this.#socket !== undefined) this.#deps.frames.attach(this.id, this.#socket, this.#header);
    this.#observe({ kind: "vision-back" });
  }

  /** Of the running decoder, for tests and status. */
  get decoderPid(): number | undefined {
    return this.#decoder?.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      await this.#visionPresent(signal);
      if (signal.aborted) break;
      const { end, stable } = await this.#runOnce(signal);
      if (end.kind === "aborted") break;
      if (this.#isOver(end)) break;
      if (stable) attempt = 0;
      const waitMs = this.#waitMs(attempt, end.code);
      this.#logLoss(end.code, end.detail, attempt, waitMs);
      await this.#deps.clock.sleep(waitMs, signal);
    }
  }

  /** Once per cause: a camera that is away for weeks must not fill the journal. */
  #logLoss(code: CameraErrorCode, detail: string, attempt: number, waitMs: number): void {
    const { log } = this.#deps;
    const write = attempt > 0 && code === this.#loggedLoss ? log.debug : log.warn;
    this.#loggedLoss = code;
    write({ code, detail, attempt, waitMs: Math.round(waitMs) }, "camera lost; will reconnect");
  }

  /** A file that does not loop has been played. */
  #isOver(end: End): boolean {
    return (
      end.kind === "ended" &&
      end.code === "stream_ended" &&
      this.#source.kind === "file" &&
      !this.#options.loop
    );
  }

  /** One decoder, from its start to its end. */
  async #runOnce(signal: AbortSignal): Promise<Booked> {
    const { clock, runtimeDirectory, frames } = this.#deps;
    const name = `${this.id}-${this.#standing.decoderStarts()}`;
    // A camera that is away for weeks is tried a million times: nothing may stay on the signal.
    const over = new AbortController();
    using _over = disposer(() => over.abort());
    const aborted = new Promise<End>((resolve) => {
      if (signal.aborted) resolve({ kind: "aborted" });
      const onAbort = (): void => resolve({ kind: "aborted" });
      signal.addEventListener("abort", onAbort, { once: true, signal: over.signal });
    });
    try {
      const command = (socketPath: string) =>
        decoderCommand(this.#preset, this.#options, socketPath);
      await using decoder = await Decoder.open(
        { command, runtimeDirectory, name, redact: redactor(this.#options.url) },
        { clock },
      );
      this.#decoder = decoder;
      const ended = decoder.ended.then(endOf);
      const opened = await this.#connected(decoder, ended, aborted);
      if ("kind" in opened) return this.#booked(opened);
      const restart = new Promise<End>((resolve) => {
        this.#restart = (reason) => resolve({ kind: "ended", code: reason, detail: "" });
      });
      using _ticking = disposer(clock.every(TICK_MS, () => this.#observe({ kind: "tick" })));
      this.#attach(opened.socket);
      using _attached = disposer(() => frames.detach(this.id));
      const end = await Promise.race([ended, restart, aborted]);
      // The last frames of a file are still on the socket when its decoder has left.
      if (this.#isOver(end)) await clock.sleep(DRAIN_MS, signal);
      // Now, not once the decoder has been stopped: that may take a second.
      return this.#booked(end);
    } catch (thrown) {
      const detail = `${codeOf(thrown)}: ${messageOf(thrown)}`;
      return this.#booked({ kind: "ended", code: "internal", detail });
    }
  }

  async #connected(
    decoder: Decoder,
    ended: Promise<End>,
    aborted: Promise<End>,
  ): Promise<End | { readonly socket: Socket }> {
    const waited = new AbortController();
    const timeout = this.#deps.clock
      .sleep(this.#options.connectMs, waited.signal)
      .then((): End => ({ kind: "ended", code: "connect_timeout", detail: "" }));
    const result = await Promise.race([
      decoder.connected.then((socket) => ({ socket })),
      ended,
      timeout,
      aborted,
    ]);
    waited.abort();
    return result;
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    this.#watch = startWatch(this.#deps.clock.monotonicMs());
    if (this.#visionAway) this.#observe({ kind: "vision-lost" });
    else this.#deps.frames.attach(this.id, socket, undefined);
  }

  /** Books the end of a decoder: from here on the camera is offline. */
  #booked(end: End): Booked {
    const now = this.#deps.clock.monotonicMs();
    const watch = this.#watch;
    this.#socket = undefined;
    this.#header = undefined;
    this.#decoder = undefined;
    this.#watch = undefined;
    this.#restart = () => undefined;
    const code = end.kind === "ended" ? end.code : undefined;
    if (watch?.moved === true) this.#frozenStreak = 0;
    if (code === "frozen") {
      this.#frozenStreak = Math.min(this.#frozenStreak + 1, FROZEN_DOUBLINGS_MAX);
    }
    if (this.#standing.decoderEnded(code)) this.#tell();
    const stable = watch?.firstFrameAt !== undefined && now - watch.firstFrameAt >= STABLE_MS;
    return { end, stable };
  }

  #observe(input: WatchInput): void {
    if (this.#watch === undefined) return;
    const now = this.#deps.clock.monotonicMs();
    const limits = this.#limits();
    const { state, verdict } = step(this.#watch, input, now, limits);
    this.#watch = state;
    if (state.firstFrameAt !== undefined) {
      if (state.moved) this.#frozenStreak = 0;
      if (this.#standing.framesFlow(this.#flowingStatus(state, now, limits))) this.#tell();
    }
    if (verdict.kind === "restart") this.#restart(verdict.reason);
  }

  #flowingStatus(state: WatchState, now: MonotonicMs, limits: WatchLimits): CameraStatus {
    // After a reconnect that did not help, the picture counts as frozen until it has moved.
    if (state.frozen || this.#frozenStreak > 0) return "frozen";
    return isDegraded(state, now, limits) ? "degraded" : "online";
  }

  #limits(): WatchLimits {
    const { connectMs, stallMs, frozenMs, driftMaxMs, fps, overshootFactor, paced } = this.#options;
    const asFastAsPossible = this.#source.kind === "file" && !paced;
    return {
      connectMs,
      stallMs,
      frozenMs,
      frozenRestartMs: frozenMs * 2 ** this.#frozenStreak,
      driftMaxMs: asFastAsPossible ? 0 : driftMaxMs,
      fps,
      overshootFactor: asFastAsPossible ? 0 : overshootFactor,
      visionAwayMaxMs: VISION_AWAY_MAX_MS,
    };
  }

  #waitMs(attempt: number, code: CameraErrorCode): number {
    const { firstMs, maxMs, localMaxMs } = this.#options.backoff;
    // A camera that locks out after wrong passwords must not be asked every second.
    if (code === "unauthorised") return maxMs;
    const longest = isLocal(this.#source) ? Math.min(maxMs, localMaxMs) : maxMs;
    return backoffMs(attempt, this.#deps.random(), { firstMs, maxMs: longest });
  }

  /** Nobody would read a new decoder's frames while vision is away. */
  #visionPresent(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#visionAway || signal.aborted) return resolve();
      this.#visionReturned = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #tell(): void {
    const state = this.state();
    for (const listener of this.#listeners) listener(state);
  }
}

function endOf(end: DecoderEnd): End {
  return {
    kind: "ended",
    code: end.code,
    detail: end.lastLine === "" ? fixOf(end.code) : end.lastLine,
  };
}

function disposer(dispose: () => unknown): Disposable {
  return { [Symbol.dispose]: () => void dispose() };
}
