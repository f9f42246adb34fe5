/** The database file: how it is opened, and what one transaction is. */
import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from "node:sqlite";
import { Fault } from "../lib/fault.ts";
import { isFatal, storeFaultOf } from "./faults.ts";
import { migrate } from "./migrations.ts";

export type Row = Record<string, SQLOutputValue>;

/** Fills as the store grows, and then stays; the kernel keeps the file's pages anyway. */
const PAGE_CACHE_KIB = 2 * 1024;
/** The log file shrinks to this after a checkpoint that emptied it. */
const WAL_KEPT_BYTES = 4 * 1024 * 1024;

export class Connection implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #inTransaction = false;
  #broken: Fault | undefined;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws Fault as `storeFaultOf` and `migrate` say, `store_corrupt` when the quick check fails */
  static open(path: string): Connection {
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path, {
        timeout: 2000,
        enableForeignKeyConstraints: true,
        allowExtension: false,
      });
      configure(database);
      const health = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
      if (health !== "ok")
        throw new Fault(
          "store_corrupt",
          `the store is damaged (${String(health)}): restore a backup`,
        );
      migrate(database);
      // What a crash left between an erase and its checkpoint goes now.
      database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      return new Connection(database);
    } catch (cause) {
      database?.close();
      throw storeFaultOf(cause);
    }
  }

  /** Runs `work` durably or not at all. Synchronous; does not nest. */
  transaction<T>(work: () => T): T {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#inTransaction)
      throw new Fault(
        "store_nested",
        "a transaction inside a transaction: use the one that is open",
      );
    try {
      this.#database.exec("BEGIN IMMEDIATE");
    } catch (cause) {
      throw this.#failed(cause);
    }
    this.#inTransaction = true;
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (cause) {
      const fault = this.#failed(cause);
      this.#rollBack();
      throw fault;
    } finally {
      this.#inTransaction = false;
    }
  }

  all(sql: string, ...values: readonly SQLInputValue[]): Row[] {
    return this.#guarded(() => this.#statement(sql).all(...values));
  }

  get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#guarded(() => this.#statement(sql).get(...values));
  }

  /** @returns rows changed */
  run(sql: string, ...values: readonly SQLInputValue[]): number {
    return this.#guarded(() => Number(this.#statement(sql).run(...values).changes));
  }

  /** Moves the write-ahead log into the database and empties it, so that overwritten bytes are in no file. */
  checkpoint(): void {
    const busy = this.get("PRAGMA wal_checkpoint(TRUNCATE)")?.["busy"];
    if (busy !== 0)
      throw new Fault(
        "store_io",
        "the write-ahead log could not be emptied: another process reads the store",
      );
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #failed(cause: unknown): unknown {
    const fault = storeFaultOf(cause);
    if (isFatal(fault)) this.#broken ??= fault;
    return fault;
  }

  #rollBack(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself: a full disk or a failed write ends the transaction.
    }
  }
}

/** Set one by one and read back: a build's defaults differ, and a pragma that is not understood says nothing. */
function configure(database: DatabaseSync): void {
  const settings: readonly (readonly [string, string | number, string | number])[] = [
    // Before the first access, so that the index of the log lives in our memory and not in a shared file.
    ["locking_mode", "EXCLUSIVE", "exclusive"],
    ["secure_delete", "ON", 1],
    ["trusted_schema", "OFF", 0],
    ["foreign_keys", "ON", 1],
    ["journal_mode", "WAL", "wal"],
    ["synchronous", "FULL", 2],
    ["wal_autocheckpoint", 1000, 1000],
    ["journal_size_limit", WAL_KEPT_BYTES, WAL_KEPT_BYTES],
    ["cell_size_check", "ON", 1],
    ["temp_store", "MEMORY", 2],
    ["cache_size", -PAGE_CACHE_KIB, -PAGE_CACHE_KIB],
  ];
  for (const [name, value, expected] of settings) {
    database.exec(`PRAGMA ${name}=${value}`);
    const actual = database.prepare(`PRAGMA ${name}`).get()?.[name];
    if (actual !== expected) {
      throw new Fault(
        "store_setting",
        `SQLite keeps ${name} at ${String(actual)} instead of ${expected}: this build or file system cannot hold the store`,
      );
    }
  }
}
