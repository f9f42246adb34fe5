/** Who wants to see a camera's frames with source crops: the guided enrolments. */
import type { CameraId } from "../lib/brand.ts";
import type { ObserveMessage } from "../observation/messages.ts";
import type { CollectedFrame } from "./deps.ts";

export class Collectors {
  readonly #listeners = new Map<CameraId, Set<(frame: CollectedFrame) => void>>();
  readonly #setActive: (cameraId: CameraId, active: boolean) => void;

  /** @param setActive asks vision to collect, or to stop */
  constructor(setActive: (cameraId: CameraId, active: boolean) => void) {
    this.#setActive = setActive;
  }

  /** @returns how to stop */
  collect(cameraId: CameraId, onFrame: (frame: CollectedFrame) => void): () => void {
    const listeners = this.#listeners.get(cameraId) ?? new Set();
    listeners.add(onFrame);
    this.#listeners.set(cameraId, listeners);
    if (listeners.size === 1) this.#setActive(cameraId, true);
    return () => {
      if (!listeners.delete(onFrame) || listeners.size > 0) return;
      this.#listeners.delete(cameraId);
      this.#setActive(cameraId, false);
    };
  }

  observe(message: ObserveMessage): void {
    const listeners = this.#listeners.get(message.cameraId);
    if (listeners === undefined) return;
    const { spaceId, observations } = message;
    for (const listener of listeners)
      listener({ capturedAtMs: message.capturedAt.monotonicMs, spaceId, observations });
  }

  /** A new vision process knows of nobody. */
  visionBack(): void {
    for (const cameraId of this.#listeners.keys()) this.#setActive(cameraId, true);
  }
}
