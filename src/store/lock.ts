/**
 * One process owns a store. The lock is the kernel's, on an open file: it goes with the process, however
 * that ends, and no stale pid can be mistaken for a live one. SQLite takes it for us, since Node has no flock.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../lib/fault.ts";

export class StoreLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws Fault `store_locked` when another process, or this one, holds it */
  static acquire(directory: string): StoreLock {
    const path = join(directory, "store.lock");
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path, { timeout: 0 });
      database.exec("PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE");
      return new StoreLock(database);
    } catch (cause) {
      database?.close();
      throw new Fault(
        "store_locked",
        `the store in ${directory} is in use or its lock cannot be taken: stop ostiary, or speak to it over its control socket`,
        { retry: "later", cause },
      );
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
