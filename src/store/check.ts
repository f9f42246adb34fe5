/** The store's fsck: reads everything, opens everything, reports as data. */

import type { IdentityId } from "../lib/brand.ts";
import { messageOf } from "../lib/fault.ts";
import { isUnit } from "../lib/vector.ts";
import type { Connection } from "./connection.ts";
import { type EventLog, firstOf } from "./event-log.ts";
import type { GalleryTables } from "./gallery-tables.ts";

export interface CheckProblem {
  readonly code:
    | "file"
    | "foreign_key"
    | "does_not_open"
    | "not_unit"
    | "miscounted"
    | "orphan"
    | "sequence";
  /** Table and row; never content. */
  readonly where: string;
  readonly message: string;
}

export interface CheckReport {
  readonly ok: boolean;
  readonly identities: number;
  readonly templates: number;
  readonly sourceCrops: number;
  readonly events: number;
  readonly problems: readonly CheckProblem[];
}

/** A damaged file could name a million rows. */
const PROBLEMS_MAX = 100;
const PAGE = 256;

export function checkTables(parts: {
  readonly connection: Connection;
  readonly gallery: GalleryTables;
  readonly events: EventLog;
}): CheckReport {
  const problems: CheckProblem[] = [];
  const report = (code: CheckProblem["code"], where: string, message: string): void => {
    if (problems.length < PROBLEMS_MAX) problems.push({ code, where, message });
  };
  const { connection, gallery, events } = parts;
  for (const row of connection.all("PRAGMA integrity_check(20)")) {
    if (row["integrity_check"] !== "ok") report("file", "store.db", String(row["integrity_check"]));
  }
  for (const row of connection.all("PRAGMA foreign_key_check")) {
    report(
      "foreign_key",
      String(row["table"]),
      `row ${String(row["rowid"])} refers to nothing in ${String(row["parent"])}`,
    );
  }
  const seen = checkIdentities(connection, gallery, report);
  checkSlots(connection, report);
  return { ok: problems.length === 0, ...seen, events: checkSequence(events, report), problems };
}

type Report = (code: CheckProblem["code"], where: string, message: string) => void;

function checkIdentities(connection: Connection, gallery: GalleryTables, report: Report) {
  let [identities, templates, sourceCrops] = [0, 0, 0];
  let after = "";
  for (;;) {
    const rows = connection.all(
      "SELECT id FROM identity WHERE id > ? ORDER BY id LIMIT ?",
      after,
      PAGE,
    );
    for (const row of rows) {
      const id = String(row["id"]) as IdentityId;
      after = id;
      identities += 1;
      try {
        gallery.identity(id);
        const known = checkSets(id, gallery, report);
        templates += known.size;
        for (const { templateId } of gallery.cropsOf(id)) {
          sourceCrops += 1;
          if (!known.has(templateId))
            report("orphan", `source_crop ${templateId}`, "its template is gone");
        }
      } catch (cause) {
        report("does_not_open", `identity ${id}`, messageOf(cause));
      }
    }
    if (rows.length < PAGE) return { identities, templates, sourceCrops };
  }
}

function checkSets(id: IdentityId, gallery: GalleryTables, report: Report): ReadonlySet<string> {
  const known = new Set<string>();
  for (const set of gallery.setsOf(id)) {
    const where = `template_set ${id} ${set.spaceId}`;
    if (set.counted !== set.templates.length)
      report("miscounted", where, `counts ${set.counted}, holds ${set.templates.length}`);
    for (const template of set.templates) {
      known.add(template.id);
      if (!isUnit(template.vector, template.vector.length))
        report("not_unit", where, `template ${template.id} is no unit vector`);
    }
  }
  return known;
}

/** Every key has one owner, and a key without owner is a key that an erase did not destroy. */
function checkSlots(connection: Connection, report: Report): void {
  const sql = `SELECT slot FROM key_slot WHERE wrapped <> zeroblob(60)
    AND slot NOT IN (SELECT slot FROM identity) AND slot NOT IN (SELECT value FROM meta WHERE name LIKE 'slot.%')`;
  for (const row of connection.all(sql))
    report("orphan", `key_slot ${String(row["slot"])}`, "a key belongs to nobody");
}

/** Each event stands for the number after the last one's; a gap event stands for a range. */
function checkSequence(events: EventLog, report: Report): number {
  let expected = events.bounds() === undefined ? undefined : firstOfHistory(events);
  let count = 0;
  for (;;) {
    const page = expected === undefined ? [] : events.history(expected, PAGE);
    for (const event of page) {
      count += 1;
      const first = firstOf({ seq: event.seq, type: event.type, body: event.body });
      if (first !== expected)
        report("sequence", `event ${event.seq}`, `follows ${(expected ?? 0) - 1}`);
      expected = event.seq + 1;
    }
    if (page.length < PAGE) return count;
  }
}

function firstOfHistory(events: EventLog): number {
  const oldest = events.history(0, 1)[0];
  return oldest === undefined
    ? 1
    : firstOf({ seq: oldest.seq, type: oldest.type, body: oldest.body });
}
