/**
 * Command numbers and answers. A pruned answer costs its sender a `replayed`, never a second effect: the
 * number of its stream stays. Streams are pruned only above their bound and only a day after their last
 * command, when whatever was captured of them has long expired.
 */
import type { CommandStamp } from "../gallery/inbox.ts";
import type { EpochMs, IdentityId } from "../lib/brand.ts";
import type { Answer } from "../lib/envelope.ts";
import { Fault } from "../lib/fault.ts";
import type { Connection } from "./connection.ts";
import type { SealingKey } from "./sealing.ts";

export interface CommandLimits {
  readonly answersMax: number;
  readonly answerBytesMax: number;
  readonly streamsMax: number;
}

const DAY_MS = 24 * 3600 * 1000;
/** A larger answer is delivered once and remembered as delivered. */
const ANSWER_KEPT_BYTES = 64 * 1024;
const PRUNE_BATCH = 8;
const REDACT_BATCH = 512;

export class CommandTables {
  readonly #limits: CommandLimits;
  readonly #connection: Connection;
  /** Answers may name people: they are sealed like everything personal. */
  readonly #key: SealingKey;
  #answers: number;
  #bytes: number;
  #streams: number;

  constructor(limits: CommandLimits, connection: Connection, key: SealingKey) {
    this.#limits = limits;
    this.#connection = connection;
    this.#key = key;
    const kept = connection.get(
      `SELECT (SELECT count(*) FROM command_answer) AS answers, (SELECT count(*) FROM command_stream) AS streams,
         (SELECT coalesce(sum(length(sealed)), 0) FROM command_answer) AS bytes`,
    );
    this.#answers = Number(kept?.["answers"]);
    this.#bytes = Number(kept?.["bytes"]);
    this.#streams = Number(kept?.["streams"]);
  }

  answered(kid: string, id: string): Answer | undefined {
    const sealed = this.#connection.get(
      "SELECT sealed FROM command_answer WHERE kid = ? AND id = ?",
      kid,
      id,
    )?.["sealed"];
    if (!(sealed instanceof Uint8Array)) return undefined;
    return JSON.parse(this.#key.open(sealed, answerPlace(kid, id)).toString("utf8")) as Answer;
  }

  isReplay({ kid, stream, seq }: CommandStamp): boolean {
    const last = this.#connection.get(
      "SELECT last_seq FROM command_stream WHERE kid = ? AND stream = ?",
      kid,
      stream,
    )?.["last_seq"];
    return last !== undefined && !(seq > Number(last));
  }

  /** Inside a transaction. @throws Fault `inbox_full` when too many clients were seen within a day */
  note({ kid, stream, seq, at }: CommandStamp): void {
    const updated = this.#connection.run(
      "UPDATE command_stream SET last_seq = ?, at = ? WHERE kid = ? AND stream = ?",
      seq,
      at,
      kid,
      stream,
    );
    if (updated > 0) return;
    if (this.#streams >= this.#limits.streamsMax) this.#pruneStreams(at);
    this.#connection.run(
      "INSERT INTO command_stream (kid, stream, last_seq, at) VALUES (?, ?, ?, ?)",
      kid,
      stream,
      seq,
      at,
    );
    this.#streams += 1;
  }

  /** Inside a transaction. Replaces an earlier answer of the same command. */
  store(kid: string, id: string, at: EpochMs, answer: Answer): void {
    let text = JSON.stringify(answer);
    if (Buffer.byteLength(text) > ANSWER_KEPT_BYTES) text = JSON.stringify(notKept);
    const sealed = this.#key.seal(Buffer.from(text, "utf8"), answerPlace(kid, id));
    this.#drop(
      this.#connection.all(
        "SELECT n, length(sealed) AS bytes FROM command_answer WHERE kid = ? AND id = ?",
        kid,
        id,
      ),
    );
    this.#connection.run(
      "INSERT INTO command_answer (kid, id, at, sealed) VALUES (?, ?, ?, ?)",
      kid,
      id,
      at,
      sealed,
    );
    this.#answers += 1;
    this.#bytes += sealed.length;
    this.#prune(at);
  }

  /** Inside a transaction. Answers that name an erased identity lose what they said. */
  redact(identityId: IdentityId): void {
    const name = JSON.stringify(identityId);
    let after = 0;
    for (;;) {
      const rows = this.#connection.all(
        "SELECT n, kid, id, sealed FROM command_answer WHERE n > ? ORDER BY n LIMIT ?",
        after,
        REDACT_BATCH,
      );
      for (const row of rows) {
        after = Number(row["n"]);
        const place = answerPlace(String(row["kid"]), String(row["id"]));
        const sealed = row["sealed"] as Uint8Array;
        if (!this.#key.open(sealed, place).includes(name)) continue;
        const replaced = this.#key.seal(Buffer.from(JSON.stringify(erased), "utf8"), place);
        this.#connection.run("UPDATE command_answer SET sealed = ? WHERE n = ?", replaced, after);
        this.#bytes += replaced.length - sealed.length;
      }
      if (rows.length < REDACT_BATCH) return;
    }
  }

  /** @returns a function that takes the counters back to now, for a transaction that is rolled back */
  mark(): () => void {
    const [answers, bytes, streams] = [this.#answers, this.#bytes, this.#streams];
    return () => {
      this.#answers = answers;
      this.#bytes = bytes;
      this.#streams = streams;
    };
  }

  /** The oldest answers go above the bounds, and after a day. */
  #prune(now: EpochMs): void {
    for (;;) {
      const over =
        this.#answers > this.#limits.answersMax || this.#bytes > this.#limits.answerBytesMax;
      const rows = this.#connection.all(
        "SELECT n, at, length(sealed) AS bytes FROM command_answer ORDER BY n LIMIT ?",
        over ? 1 : PRUNE_BATCH,
      );
      const due = over ? rows : rows.filter((row) => Number(row["at"]) < now - DAY_MS);
      this.#drop(due);
      if (!over || due.length === 0) return;
    }
  }

  #drop(rows: readonly { readonly [column: string]: unknown }[]): void {
    for (const row of rows) {
      this.#connection.run("DELETE FROM command_answer WHERE n = ?", Number(row["n"]));
      this.#answers -= 1;
      this.#bytes -= Number(row["bytes"]);
    }
  }

  #pruneStreams(now: EpochMs): void {
    this.#streams -= this.#connection.run("DELETE FROM command_stream WHERE at < ?", now - DAY_MS);
    if (this.#streams < this.#limits.streamsMax) return;
    throw new Fault(
      "inbox_full",
      `${this.#streams} command streams within a day: clients must keep one stream per start`,
      { retry: "later" },
    );
  }
}

const notKept: Answer = {
  ok: false,
  error: {
    code: "answer_not_kept",
    message: "the command was carried out; its answer was too large to keep for a repeat",
  },
};
const erased: Answer = {
  ok: false,
  error: {
    code: "answer_erased",
    message: "the command was carried out; its answer went with the identity it named",
  },
};

function answerPlace(kid: string, id: string): string {
  return `command_answer|${kid}|${id}|1`;
}
