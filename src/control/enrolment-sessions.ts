/** The guided enrolments that run: one for each camera and person, cancellable by camera. */
import type { CameraId, IdentityId } from "../lib/brand.ts";

interface Entry {
  readonly cameraId: CameraId;
  readonly identityId: IdentityId;
  readonly cancel: AbortController;
}

export class EnrolmentSessions {
  readonly #entries = new Set<Entry>();

  get isAny(): boolean {
    return this.#entries.size > 0;
  }

  /** Whether that camera, or that person, is being enrolled. */
  isBusy(cameraId: CameraId, identityId: IdentityId): boolean {
    return [...this.#entries].some(
      (entry) => entry.cameraId === cameraId || entry.identityId === identityId,
    );
  }

  /** Ends with the disposal. The caller has asked {@link isBusy} in the same turn. */
  open(cameraId: CameraId, identityId: IdentityId): Disposable & { readonly signal: AbortSignal } {
    const entry: Entry = { cameraId, identityId, cancel: new AbortController() };
    this.#entries.add(entry);
    return {
      signal: entry.cancel.signal,
      [Symbol.dispose]: () => {
        this.#entries.delete(entry);
      },
    };
  }

  /** @returns whether one ran there */
  cancel(cameraId: CameraId): boolean {
    for (const entry of this.#entries) {
      if (entry.cameraId !== cameraId) continue;
      entry.cancel.abort();
      return true;
    }
    return false;
  }
}
