/** The cameras of the configuration: started, stopped and replaced as it changes. One never waits for another. */
import { isDeepStrictEqual } from "node:util";
import type { CameraOptions } from "../camera/options.ts";
import { choosePreset } from "../camera/presets.ts";
import { Camera, type CameraDeps, type CameraState } from "../camera/supervisor.ts";
import type { CameraId } from "../lib/brand.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { CameraHealthMessage } from "../observation/messages.ts";

export interface CamerasDeps extends CameraDeps {
  readonly onState: (state: CameraState) => void;
}

interface Entry {
  readonly options: CameraOptions;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  /** Absent until its preset was probed. */
  camera: Camera | undefined;
  state: CameraState;
}

const PRESET_RETRY_MS = 60_000;

export class Cameras implements AsyncDisposable {
  readonly #deps: CamerasDeps;
  readonly #entries = new Map<CameraId, Entry>();

  constructor(deps: CamerasDeps) {
    this.#deps = deps;
  }

  get ids(): readonly CameraId[] {
    return [...this.#entries.keys()];
  }

  states(): readonly CameraState[] {
    return [...this.#entries.values()].map((entry) => entry.camera?.state() ?? entry.state);
  }

  /** Starts what is new, stops what is gone, replaces what changed; the others run on. */
  async apply(wanted: readonly CameraOptions[]): Promise<void> {
    const gone = [...this.#entries].filter(
      ([id, entry]) =>
        !wanted.some((options) => options.id === id && isDeepStrictEqual(options, entry.options)),
    );
    await Promise.all(gone.map(([id, entry]) => this.#end(id, entry)));
    for (const options of wanted) if (!this.#entries.has(options.id)) this.#start(options);
  }

  onHealth(message: CameraHealthMessage): void {
    this.#entries.get(message.cameraId)?.camera?.onHealth(message);
  }

  onStreamHeader(cameraId: CameraId, bytes: Uint8Array): void {
    this.#entries.get(cameraId)?.camera?.onStreamHeader(bytes);
  }

  visionLost(): void {
    for (const entry of this.#entries.values()) entry.camera?.visionLost();
  }

  visionBack(): void {
    for (const entry of this.#entries.values()) entry.camera?.visionBack();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#entries].map(([id, entry]) => this.#end(id, entry)));
  }

  #start(options: CameraOptions): void {
    const stop = new AbortController();
    const state: CameraState = {
      id: options.id,
      status: "starting",
      since: this.#deps.clock.epochMs(),
      fps: 0,
      reconnects: 0,
      stalls: 0,
      frozen: 0,
      drifts: 0,
      overshoots: 0,
    };
    const entry: Entry = { options, stop, camera: undefined, state, ended: Promise.resolve() };
    const ended = this.#run(entry, stop.signal);
    this.#entries.set(options.id, Object.assign(entry, { ended }));
    this.#deps.onState(state);
  }

  async #run(entry: Entry, signal: AbortSignal): Promise<void> {
    const { clock, log, onState } = this.#deps;
    const { options } = entry;
    while (!signal.aborted) {
      try {
        const { preset, fallbackFrom } = await choosePreset(options, signal);
        if (fallbackFrom !== undefined)
          log.warn(
            { cameraId: options.id, preset, wanted: fallbackFrom.preset },
            fallbackFrom.message,
          );
        await using camera = new Camera({ ...options, preset }, this.#deps);
        camera.onStateChange(onState);
        entry.camera = camera;
        await camera.run(signal);
        entry.state = camera.state();
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        // A decoder that is not installed may be installed later; the other cameras do not care.
        log.error({ cameraId: options.id, code: codeOf(thrown) }, messageOf(thrown));
        entry.state = {
          ...entry.state,
          status: "offline",
          since: clock.epochMs(),
          lastError: "internal",
        };
        onState(entry.state);
        await clock.sleep(PRESET_RETRY_MS, signal);
      } finally {
        entry.camera = undefined;
      }
    }
  }

  async #end(id: CameraId, entry: Entry): Promise<void> {
    this.#entries.delete(id);
    entry.stop.abort();
    await entry.ended;
  }
}
