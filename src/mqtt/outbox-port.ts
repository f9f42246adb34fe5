/** The reliable feed as its publisher sees it. `store/` implements it. */
import type { EpochMs } from "../lib/brand.ts";

export interface OutboxEvent {
  /** Gapless from 1 over the life of the device, unless a `gap` event says otherwise. */
  readonly seq: number;
  readonly type: string;
  readonly at: EpochMs;
  /** JSON object text, as appended. */
  readonly body: string;
}

export interface EventOutbox {
  /** Not yet acknowledged by a broker, oldest first. */
  readonly unsent: (limit: number) => readonly OutboxEvent[];
  readonly markSent: (seq: number) => void;
  /** For replay: kept events from `fromSeq`, oldest first. */
  readonly history: (fromSeq: number, limit: number) => readonly OutboxEvent[];
  /** First and last kept seq; undefined when none is kept. */
  readonly bounds: () => { readonly first: number; readonly last: number } | undefined;
  /** Called after each commit that appended. @returns a function that stops it */
  readonly onAppended: (listener: () => void) => () => void;
}
