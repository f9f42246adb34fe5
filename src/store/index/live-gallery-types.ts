/** What a live gallery is told, needs and says of itself. */
import type { GalleryChange, RecordReader } from "../../gallery/record.ts";
import type { SpaceId } from "../../lib/brand.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { HnswParameters } from "./protocol.ts";

export interface LiveGalleryOptions {
  readonly spaceId: SpaceId;
  readonly dimension: number;
  /** Up to this many templates every search is exact. Default 20 000. */
  readonly exactBelow?: number;
  /** Galleries of up to so many floats are scanned on the calling thread. Default 5.2 million. */
  readonly inlineFloats?: number;
  /** One in so many approximate searches is compared with an exact one. Default 32. */
  readonly sampleEvery?: number;
  /** The first HNSW generation waits so long: at a start, models and cameras want the processor. Default 0. */
  readonly settleMs?: number;
  readonly hnsw?: Partial<HnswParameters>;
}

export interface LiveGalleryDeps {
  readonly record: Pick<RecordReader, "templates">;
  /** Subscribes to changes of the store. @returns a function that stops it */
  readonly changes: (listener: (change: GalleryChange) => void) => () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface GalleryStats {
  readonly spaceId: SpaceId;
  /** What proposes now. */
  readonly kind: "exact" | "hnsw";
  /** HNSW generations that went into service. */
  readonly generation: number;
  readonly identities: number;
  readonly templates: number;
  /** Erased templates that the serving generation still carries, unreachable. */
  readonly deleted: number;
  readonly building: boolean;
  /** Share of sampled searches whose best was the exact best; absent before the first sample. */
  readonly recall?: number;
  readonly recallSamples: number;
  /** Searches that were answered on the calling thread because an index did not answer. */
  readonly fallbacks: number;
  readonly tableBytes: number;
}
