/**
 * The reliable feed in its table. Gapless: a number is drawn in the transaction that appends, and what
 * must be dropped before a broker took it leaves a `gap` event in its place.
 */
import type { EpochMs } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import type { Connection, Row } from "./connection.ts";

/** One event as the feed publishes it. */
export interface OutboxRow {
  readonly seq: number;
  readonly type: string;
  readonly at: EpochMs;
  /** JSON object text. */
  readonly body: string;
}

export interface EventLimits {
  readonly eventsMax: number;
  /** Sum of the bodies. */
  readonly eventBytesMax: number;
  readonly eventAgeMaxMs: number;
}

/** Dropped last: the rest is context, these are the record of who was let in. */
const DECISION = "decision";
const GAP = "gap";
/** About what a gap's body takes. */
const GAP_BYTES = 48;
const BODY_MAX_BYTES = 64 * 1024;
/** A clean-up goes this far below the limit, so that it does not run with every event. */
const KEPT_SHARE = 0.9;
/** Acknowledgements that may wait in memory for the next write. Lost ones only mean that an event is sent twice. */
const ACKNOWLEDGED_MAX = 64;

export class EventLog {
  readonly #limits: EventLimits;
  readonly #connection: Connection;
  readonly #acknowledged = new Set<number>();
  #count: number;
  #bytes: number;
  #lastSeq: number;

  constructor(limits: EventLimits, connection: Connection) {
    this.#limits = limits;
    this.#connection = connection;
    const kept = connection.get(
      "SELECT count(*) AS n, coalesce(sum(octet_length(body)), 0) AS bytes, coalesce(max(seq), 0) AS last FROM event",
    );
    const counter = connection.get("SELECT value FROM meta WHERE name = 'last_seq'");
    this.#count = Number(kept?.["n"]);
    this.#bytes = Number(kept?.["bytes"]);
    this.#lastSeq = Math.max(Number(counter?.["value"] ?? 0), Number(kept?.["last"]));
  }

  /** Inside a transaction. @returns the event's number */
  append(type: string, body: Readonly<Record<string, unknown>>, at: EpochMs): number {
    const text = JSON.stringify(body);
    const bytes = Buffer.byteLength(text);
    if (bytes > BODY_MAX_BYTES)
      throw new Fault(
        "event_too_large",
        `a ${type} event has ${bytes} bytes, at most ${BODY_MAX_BYTES} are kept`,
      );
    const seq = this.#lastSeq + 1;
    this.#connection.run(
      "INSERT INTO event (seq, type, at, body, sent) VALUES (?, ?, ?, ?, 0)",
      seq,
      type,
      at,
      text,
    );
    this.#connection.run(
      "INSERT INTO meta (name, value) VALUES ('last_seq', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      seq,
    );
    this.#lastSeq = seq;
    this.#count += 1;
    this.#bytes += bytes;
    this.#prune(at);
    return seq;
  }

  /** @returns a function that takes the counters back to now, for a transaction that is rolled back */
  mark(): () => void {
    const [count, bytes, lastSeq] = [this.#count, this.#bytes, this.#lastSeq];
    return () => {
      this.#count = count;
      this.#bytes = bytes;
      this.#lastSeq = lastSeq;
    };
  }

  unsent(limit: number): OutboxRow[] {
    const rows = this.#connection.all(
      "SELECT * FROM event WHERE sent = 0 ORDER BY seq LIMIT ?",
      limit + this.#acknowledged.size,
    );
    return rows
      .map(outboxRow)
      .filter((event) => !this.#acknowledged.has(event.seq))
      .slice(0, limit);
  }

  /** @returns true when enough acknowledgements wait to be worth a write of their own */
  acknowledge(seq: number): boolean {
    this.#acknowledged.add(seq);
    return this.#acknowledged.size >= ACKNOWLEDGED_MAX;
  }

  /** Inside a transaction. {@link settled} after its commit. */
  flush(): void {
    for (const seq of this.#acknowledged)
      this.#connection.run("UPDATE event SET sent = 1 WHERE seq = ?", seq);
  }

  settled(): void {
    this.#acknowledged.clear();
  }

  history(fromSeq: number, limit: number): OutboxRow[] {
    return this.#connection
      .all("SELECT * FROM event WHERE seq >= ? ORDER BY seq LIMIT ?", fromSeq, limit)
      .map(outboxRow);
  }

  bounds(): { readonly first: number; readonly last: number } | undefined {
    const row = this.#connection.get("SELECT min(seq) AS first, max(seq) AS last FROM event");
    if (row === undefined || row["first"] === null) return undefined;
    return { first: Number(row["first"]), last: Number(row["last"]) };
  }

  #prune(now: EpochMs): void {
    this.#dropAged(now);
    if (!this.#over(1)) return;
    this.#dropSent();
    if (this.#over(KEPT_SHARE)) this.#dropContext();
    if (this.#over(KEPT_SHARE)) this.#dropOldest();
  }

  /** @param coming rows that this clean-up itself is about to write */
  #over(share: number, coming = 0): boolean {
    const bytes = this.#bytes + coming * GAP_BYTES;
    return (
      this.#count + coming > this.#limits.eventsMax * share ||
      bytes > this.#limits.eventBytesMax * share
    );
  }

  #dropAged(now: EpochMs): void {
    const oldest = this.#connection.get("SELECT seq, at FROM event ORDER BY seq LIMIT 1");
    const limit = now - this.#limits.eventAgeMaxMs;
    // With slack: an hour's events go at once instead of one with each append.
    if (
      oldest === undefined ||
      !(Number(oldest["at"]) < limit - Math.min(3_600_000, this.#limits.eventAgeMaxMs / 10))
    )
      return;
    const young = this.#connection.get("SELECT min(seq) AS seq FROM event WHERE at >= ?", limit)?.[
      "seq"
    ];
    this.#dropThrough(
      young === null || young === undefined ? this.#lastSeq - 1 : Number(young) - 1,
    );
  }

  /**
   * Oldest first, until below the target: they were acknowledged, only replay loses them. Acknowledgements
   * come out of order; what lies behind an unsent event stays, or the kept numbers would have holes.
   */
  #dropSent(): void {
    for (const row of this.#connection.all(
      "SELECT seq, octet_length(body) AS bytes FROM event WHERE seq < coalesce((SELECT min(seq) FROM event WHERE sent = 0), ?) ORDER BY seq",
      this.#lastSeq,
    )) {
      if (!this.#over(KEPT_SHARE)) return;
      this.#delete(row);
    }
  }

  /** Unsent events that are no decisions, oldest first; each run of them becomes one gap. */
  #dropContext(): void {
    let gap: { from: number; to: number; at: number } | undefined;
    for (const row of this.#connection.all(
      "SELECT seq, type, at, body, sent, octet_length(body) AS bytes FROM event WHERE seq < ? ORDER BY seq",
      this.#lastSeq,
    )) {
      const seq = Number(row["seq"]);
      if (row["type"] === DECISION || row["sent"] === 1) {
        this.#writeGap(gap);
        gap = undefined;
        if (!this.#over(KEPT_SHARE)) return;
        continue;
      }
      this.#delete(row);
      gap = { from: gap?.from ?? firstOf(row), to: seq, at: Number(row["at"]) };
      if (!this.#over(KEPT_SHARE, 1)) break;
    }
    this.#writeGap(gap);
  }

  #dropOldest(): void {
    const rows = this.#connection.all(
      "SELECT seq, octet_length(body) AS bytes FROM event WHERE seq < ? ORDER BY seq",
      this.#lastSeq,
    );
    let { length: count } = rows;
    let bytes = this.#bytes;
    for (const row of rows) {
      count -= 1;
      bytes -= Number(row["bytes"]);
      const enough =
        count + 2 <= this.#limits.eventsMax * KEPT_SHARE &&
        bytes <= this.#limits.eventBytesMax * KEPT_SHARE;
      if (!enough && count > 0) continue;
      this.#dropThrough(Number(row["seq"]));
      return;
    }
  }

  /** Drops everything up to `seq`; what was not sent is announced by one gap. */
  #dropThrough(seq: number): void {
    let gap: { from: number; to: number; at: number } | undefined;
    for (const row of this.#connection.all(
      "SELECT seq, type, at, body, sent, octet_length(body) AS bytes FROM event WHERE seq <= ? ORDER BY seq",
      seq,
    )) {
      this.#delete(row);
      if (row["sent"] === 1 && gap === undefined) continue;
      gap = { from: gap?.from ?? firstOf(row), to: Number(row["seq"]), at: Number(row["at"]) };
    }
    this.#writeGap(gap);
  }

  #delete(row: Row): void {
    this.#connection.run("DELETE FROM event WHERE seq = ?", Number(row["seq"]));
    this.#count -= 1;
    this.#bytes -= Number(row["bytes"]);
  }

  #writeGap(
    gap: { readonly from: number; readonly to: number; readonly at: number } | undefined,
  ): void {
    if (gap === undefined) return;
    const body = JSON.stringify({ fromSeq: gap.from, toSeq: gap.to });
    this.#connection.run(
      "INSERT INTO event (seq, type, at, body, sent) VALUES (?, ?, ?, ?, 0)",
      gap.to,
      GAP,
      gap.at,
      body,
    );
    this.#count += 1;
    this.#bytes += body.length;
  }
}

/** The first number an event stands for: its own, or a gap's first. */
export function firstOf(row: Row): number {
  if (row["type"] !== GAP) return Number(row["seq"]);
  return Number((JSON.parse(String(row["body"])) as { fromSeq: number }).fromSeq);
}

function outboxRow(row: Row): OutboxRow {
  return {
    seq: Number(row["seq"]),
    type: String(row["type"]),
    at: Number(row["at"]) as EpochMs,
    body: String(row["body"]),
  };
}
