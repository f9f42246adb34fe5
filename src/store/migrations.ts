/** Schema versions. Each step runs in one transaction with the change of `user_version`. */
import type { DatabaseSync } from "node:sqlite";
import { Fault } from "../lib/fault.ts";
import { UPDATE_TABLES } from "./update-tables.ts";

/** "Osti" in ASCII. */
export const APPLICATION_ID = 0x4f737469;

/**
 * `key_slot` rows are of one size, appended and then only overwritten in place: SQLite never moves such a
 * cell, so a destroyed key leaves no copy in a rebalanced page.
 */
const VERSION_1 = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE key_slot (slot INTEGER PRIMARY KEY, wrapped BLOB NOT NULL CHECK (length(wrapped) = 60)) STRICT;
CREATE INDEX key_slot_free ON key_slot (slot) WHERE wrapped = X'${"00".repeat(60)}';
CREATE TABLE identity (
  id TEXT PRIMARY KEY,
  slot INTEGER NOT NULL UNIQUE REFERENCES key_slot (slot),
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  groups TEXT NOT NULL,
  valid_from INTEGER,
  valid_until INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  profile BLOB NOT NULL
) STRICT;
CREATE TABLE template_set (
  identity_id TEXT NOT NULL REFERENCES identity (id),
  space_id TEXT NOT NULL,
  templates INTEGER NOT NULL CHECK (templates > 0),
  sealed BLOB NOT NULL,
  PRIMARY KEY (identity_id, space_id)
) STRICT;
CREATE INDEX template_set_space ON template_set (space_id, identity_id);
CREATE TABLE source_crop (
  template_id TEXT PRIMARY KEY,
  identity_id TEXT NOT NULL REFERENCES identity (id),
  space_id TEXT NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
CREATE INDEX source_crop_identity ON source_crop (identity_id, space_id);
CREATE TABLE command_answer (
  n INTEGER PRIMARY KEY,
  kid TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  UNIQUE (kid, id)
) STRICT;
CREATE TABLE command_stream (
  kid TEXT NOT NULL,
  stream TEXT NOT NULL,
  last_seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (kid, stream)
) STRICT, WITHOUT ROWID;
CREATE INDEX command_stream_at ON command_stream (at);
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  sent INTEGER NOT NULL CHECK (sent IN (0, 1))
) STRICT;
CREATE INDEX event_unsent ON event (seq) WHERE sent = 0;
`;

const STEPS: readonly string[] = [VERSION_1, UPDATE_TABLES];
export const SCHEMA_VERSION = STEPS.length;

/** @throws Fault `store_foreign` for a file that is not ours, `store_newer` for one of a later version */
export function migrate(database: DatabaseSync, steps: readonly string[] = STEPS): void {
  const applicationId = pragma(database, "application_id");
  const version = pragma(database, "user_version");
  if (
    applicationId !== APPLICATION_ID &&
    !(applicationId === 0 && version === 0 && isEmpty(database))
  ) {
    throw new Fault(
      "store_foreign",
      "the store's file is another program's database: point the state directory elsewhere",
    );
  }
  if (version > steps.length) {
    throw new Fault(
      "store_newer",
      `the store has schema ${version}, this version knows ${steps.length}: install the newer version again`,
    );
  }
  for (let next = version; next < steps.length; next += 1) {
    database.exec(
      `BEGIN IMMEDIATE; ${steps[next]}; PRAGMA application_id=${APPLICATION_ID}; PRAGMA user_version=${next + 1}; COMMIT`,
    );
  }
}

function isEmpty(database: DatabaseSync): boolean {
  return Number(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"]) === 0;
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}
