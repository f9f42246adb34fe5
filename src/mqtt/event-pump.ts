/**
 * The reliable feed: what the outbox holds, in order, at least once. SQLite is the durability; here is only
 * what is in flight on this connection. Replays share the way and come last.
 */
import type { EventOutbox, OutboxEvent } from "./outbox-port.ts";

const BATCH = 40;
/** Most events of one replay. */
export const REPLAY_MAX = 10_000;

export type ReplayStart =
  | { readonly kind: "started"; readonly first: number; readonly last: number }
  /** Nothing kept from there on. */
  | { readonly kind: "empty" }
  /** One replay at a time: ask again when it has ended. */
  | { readonly kind: "busy" };

export interface OutgoingEvent {
  readonly event: OutboxEvent;
  readonly replayed: boolean;
}

export class EventPump {
  readonly #outbox: EventOutbox;
  readonly #inFlight = new Set<number>();
  #fresh: OutboxEvent[] = [];
  /** False until something was appended or given back: spares a query per wake-up. */
  #mayHaveMore = true;
  #replay: { next: number; readonly last: number } | undefined;
  #replayBatch: OutboxEvent[] = [];
  readonly #replayInFlight = new Set<number>();

  constructor(outbox: EventOutbox) {
    this.#outbox = outbox;
  }

  get inFlight(): number {
    return this.#inFlight.size + this.#replayInFlight.size;
  }

  appended(): void {
    this.#mayHaveMore = true;
  }

  take(): OutgoingEvent | undefined {
    const event = this.#takeFresh();
    if (event !== undefined) {
      this.#inFlight.add(event.seq);
      return { event, replayed: false };
    }
    const old = this.#takeReplayed();
    if (old === undefined) return undefined;
    this.#replayInFlight.add(old.seq);
    return { event: old, replayed: true };
  }

  /** @param outcome `acked` by the broker, or `refused`: it stays unsent and is offered again */
  settle(outgoing: OutgoingEvent, outcome: "acked" | "refused"): void {
    if (outgoing.replayed) {
      this.#replayInFlight.delete(outgoing.event.seq);
      this.#endReplay();
      return;
    }
    this.#inFlight.delete(outgoing.event.seq);
    if (outcome === "acked") this.#outbox.markSent(outgoing.event.seq);
    else this.#rewind();
  }

  /** The connection is gone: whatever was in flight is offered again, from the oldest. */
  connectionLost(): void {
    this.#inFlight.clear();
    this.#rewind();
    if (this.#replay === undefined) return;
    this.#replay.next = Math.min(this.#replay.next, ...this.#replayInFlight);
    this.#replayBatch = [];
    this.#replayInFlight.clear();
  }

  startReplay(fromSeq: number, limit: number): ReplayStart {
    if (this.#replay !== undefined) return { kind: "busy" };
    const bounds = this.#outbox.bounds();
    const first = Math.max(fromSeq, bounds?.first ?? 0);
    if (bounds === undefined || first > bounds.last || limit < 1) return { kind: "empty" };
    const last = Math.min(bounds.last, first + Math.min(limit, REPLAY_MAX) - 1);
    this.#replay = { next: first, last };
    return { kind: "started", first, last };
  }

  #takeFresh(): OutboxEvent | undefined {
    if (this.#fresh.length === 0 && this.#mayHaveMore) {
      const rows = this.#outbox.unsent(BATCH + this.#inFlight.size);
      this.#fresh = rows.filter((row) => !this.#inFlight.has(row.seq));
      this.#mayHaveMore = this.#fresh.length > 0;
    }
    return this.#fresh.shift();
  }

  #takeReplayed(): OutboxEvent | undefined {
    const replay = this.#replay;
    if (replay === undefined || replay.next > replay.last) return undefined;
    if (this.#replayBatch.length === 0) {
      const limit = Math.min(BATCH, replay.last - replay.next + 1);
      this.#replayBatch = this.#outbox
        .history(replay.next, limit)
        .filter((row) => row.seq <= replay.last);
    }
    const event = this.#replayBatch.shift();
    // Rows may have been pruned since the replay began: then it ends early.
    replay.next = event === undefined ? replay.last + 1 : event.seq + 1;
    this.#endReplay(event);
    return event;
  }

  #endReplay(taken?: OutboxEvent): void {
    const replay = this.#replay;
    if (
      replay !== undefined &&
      replay.next > replay.last &&
      this.#replayInFlight.size === 0 &&
      taken === undefined
    ) {
      this.#replay = undefined;
    }
  }

  #rewind(): void {
    this.#fresh = [];
    this.#mayHaveMore = true;
  }
}
