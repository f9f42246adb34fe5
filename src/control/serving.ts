/** What serves now: a pack and the gallery of its space, and the threshold that follows from both. Replaced as one. */
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { MatchOptions } from "../match/options.ts";
import { type Threshold, thresholdOf } from "../match/threshold.ts";
import type { PackOnDisk } from "../release/ports.ts";
import { LiveGallery } from "../store/index/live-gallery.ts";
import type { Store } from "../store/store.ts";

export interface Served {
  readonly pack: PackOnDisk;
  /** Of the pack's space. */
  readonly gallery: LiveGallery;
}

/** Whoever needs the pack or the gallery asks here each time, and keeps neither. */
export class Serving implements AsyncDisposable {
  readonly #match: () => MatchOptions;
  #served: Served;

  /** Owns the gallery from now on. @param match in force now: a reload changes it */
  constructor(first: Served, match: () => MatchOptions) {
    this.#served = first;
    this.#match = match;
  }

  get pack(): PackOnDisk {
    return this.#served.pack;
  }

  get gallery(): LiveGallery {
    return this.#served.gallery;
  }

  /** For the gallery's size now. */
  readonly threshold = (): Threshold => thresholdOfServed(this.#served, this.#match());

  /** @returns what served before: its gallery is the caller's, and may still be searched */
  replace(next: Served): Served {
    const before = this.#served;
    this.#served = next;
    return before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served.gallery[Symbol.asyncDispose]();
  }
}

export function thresholdOfServed({ pack, gallery }: Served, match: MatchOptions): Threshold {
  return thresholdOf(pack.pack.calibration, gallery, match);
}

export interface OpenGalleryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

/** The gallery of a pack's space, read from the store: it serves when this resolves. */
export function openGallery(
  { pack }: PackOnDisk,
  { store, clock, log }: OpenGalleryDeps,
  signal: AbortSignal,
): Promise<LiveGallery> {
  const { spaceId, dimension } = pack.embedder;
  const { record, onGalleryChange } = store;
  return LiveGallery.open(
    { spaceId, dimension, settleMs: 5000 },
    { record, changes: onGalleryChange, clock, log: log.child({ part: "gallery" }) },
    signal,
  );
}
