/**
 * The journal of updates in its tables: one row for the entry, floors that only rise, and the packs that
 * failed here. A change is one transaction, and what became of an update is an event of the same one.
 */
import type { RecordTransaction } from "../gallery/record.ts";
import type { EpochMs } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";
import { parseJson } from "../lib/json.ts";
import { firstEntry, JournalEntry } from "../release/journal.ts";
import {
  type Denied,
  type JournalChange,
  type LastDesired,
  MetadataFloors,
  type UpdateFloors,
  type UpdateJournal,
} from "../release/journal-port.ts";
import type { Connection } from "./connection.ts";

export const UPDATE_TABLES = `
CREATE TABLE update_journal (one INTEGER PRIMARY KEY CHECK (one = 1), entry TEXT NOT NULL) STRICT;
CREATE TABLE update_floor (name TEXT PRIMARY KEY, value INTEGER NOT NULL, note TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE update_denied (
  sha256 TEXT PRIMARY KEY,
  attempt_epoch INTEGER NOT NULL,
  code TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** Numbers of reports that one write reserves. A crash skips what was left of them. */
const REPORTS_RESERVED = 256;
/** The oldest go beyond that: their packs have long been replaced. */
const DENIED_MAX = 256;

type Transact = (effect: (tx: RecordTransaction) => void) => void;

export class UpdateTables implements UpdateJournal {
  readonly #connection: Connection;
  readonly #transact: Transact;
  #reportSeq: number;
  #reportsUntil: number;

  /** @param transact the store's: its events are flushed and its listeners told */
  constructor(connection: Connection, transact: Transact) {
    this.#connection = connection;
    this.#transact = transact;
    this.#reportSeq = this.#floor("report");
    this.#reportsUntil = this.#reportSeq;
  }

  readonly entry = (): JournalEntry => {
    const text = this.#connection.get("SELECT entry FROM update_journal")?.["entry"];
    if (text === undefined) return firstEntry(0 as EpochMs);
    const parsed = JournalEntry.safeParse(parseJson(String(text)));
    if (parsed.success) return parsed.data;
    throw new Fault(
      "journal_unreadable",
      "the journal of updates is not one that this version writes: install the version that wrote it, or restore a backup",
    );
  };

  readonly floors = (): UpdateFloors => {
    const metadata = this.#connection.get("SELECT note FROM update_floor WHERE name = 'metadata'");
    return {
      release: this.#floor("release"),
      timeMs: this.#floor("time") as EpochMs,
      metadata:
        metadata === undefined
          ? undefined
          : MetadataFloors.parse(parseJson(String(metadata["note"]))),
    };
  };

  readonly lastDesired = (kid: string): LastDesired | undefined => {
    const row = this.#connection.get(
      "SELECT value, note FROM update_floor WHERE name = ?",
      desiredName(kid),
    );
    return row === undefined
      ? undefined
      : { seq: Number(row["value"]), jobId: String(row["note"] ?? "") };
  };

  readonly denied = (sha256: string): Denied | undefined => {
    const row = this.#connection.get("SELECT * FROM update_denied WHERE sha256 = ?", sha256);
    return row === undefined
      ? undefined
      : { sha256, attemptEpoch: Number(row["attempt_epoch"]), code: String(row["code"]) };
  };

  readonly change = (change: JournalChange, at: EpochMs): void => {
    this.#transact((tx) => {
      const { entry, release, timeMs, metadata, desired, deny, allow } = change;
      if (entry !== undefined) this.#write(entry, tx, at);
      if (release?.lowered === true) this.#set("release", release.counter, null);
      else if (release !== undefined) this.#raise("release", release.counter);
      if (timeMs !== undefined) this.#raise("time", Math.floor(timeMs));
      if (metadata !== undefined) this.#set("metadata", 0, JSON.stringify(metadata));
      if (desired !== undefined) this.#raise(desiredName(desired.kid), desired.seq, desired.jobId);
      if (deny !== undefined) this.#deny(deny, at);
      if (allow !== undefined)
        this.#connection.run("DELETE FROM update_denied WHERE sha256 = ?", allow);
    });
  };

  readonly nextReportSeq = (): number => {
    if (this.#reportSeq >= this.#reportsUntil) {
      const until = this.#reportSeq + REPORTS_RESERVED;
      this.#transact(() => this.#raise("report", until));
      this.#reportsUntil = until;
    }
    this.#reportSeq += 1;
    return this.#reportSeq;
  };

  #write(entry: JournalEntry, tx: RecordTransaction, at: EpochMs): void {
    const before = this.entry();
    this.#connection.run(
      "INSERT INTO update_journal (one, entry) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET entry = excluded.entry",
      // What could not be read again is not written.
      JSON.stringify(JournalEntry.parse(entry)),
    );
    if (before.state === entry.state) return;
    const pack = entry.candidate ?? entry.active;
    tx.appendEvent(
      "update",
      {
        state: entry.state,
        ...(entry.job === undefined ? {} : { jobId: entry.job.jobId }),
        ...(pack === undefined
          ? {}
          : { pack: pack.id, sha256: pack.sha256, releaseCounter: pack.releaseCounter }),
        ...(entry.error === undefined ? {} : { error: entry.error }),
      },
      at,
    );
  }

  #deny({ sha256, attemptEpoch, code }: Denied, at: EpochMs): void {
    this.#connection.run(
      `INSERT INTO update_denied (sha256, attempt_epoch, code, at) VALUES (?, ?, ?, ?)
       ON CONFLICT (sha256) DO UPDATE SET attempt_epoch = excluded.attempt_epoch, code = excluded.code, at = excluded.at`,
      sha256,
      attemptEpoch,
      code,
      at,
    );
    this.#connection.run(
      "DELETE FROM update_denied WHERE sha256 NOT IN (SELECT sha256 FROM update_denied ORDER BY at DESC LIMIT ?)",
      DENIED_MAX,
    );
  }

  #floor(name: string): number {
    const row = this.#connection.get("SELECT value FROM update_floor WHERE name = ?", name);
    return Number(row?.["value"] ?? 0);
  }

  /** A note goes with its value: an equal value keeps the first. */
  #raise(name: string, value: number, note: string | null = null): void {
    this.#connection.run(
      `INSERT INTO update_floor (name, value, note) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value, note = excluded.note WHERE excluded.value > value`,
      name,
      value,
      note,
    );
  }

  #set(name: string, value: number, note: string | null): void {
    this.#connection.run(
      `INSERT INTO update_floor (name, value, note) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value, note = excluded.note`,
      name,
      value,
      note,
    );
  }
}

const desiredName = (kid: string): string => `desired/${kid}`;
