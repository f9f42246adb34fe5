import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, test } from "node:test";
import { Connection } from "../../src/store/connection.ts";
import { storeFaultOf } from "../../src/store/faults.ts";
import { APPLICATION_ID, migrate, SCHEMA_VERSION } from "../../src/store/migrations.ts";
import { now, person, StoreDirectory } from "./support.ts";

const root = mkdtempSync(join(tmpdir(), "ostiary-connection-"));
after(() => rmSync(root, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => {
  files += 1;
  return join(root, `${files}.db`);
};

describe("connection", () => {
  test("the pragmas that durability and erasure rest on are in force", () => {
    using connection = Connection.open(fresh());
    const value = (name: string) => Object.values(connection.get(`PRAGMA ${name}`) ?? {})[0];
    assert.deepEqual(
      [
        "journal_mode",
        "synchronous",
        "secure_delete",
        "foreign_keys",
        "trusted_schema",
        "locking_mode",
      ].map(value),
      ["wal", 2, 1, 1, 0, "exclusive"],
    );
    assert.deepEqual(
      [value("user_version"), value("application_id")],
      [SCHEMA_VERSION, APPLICATION_ID],
    );
  });

  test("a newer store and another program's file are refused untouched", () => {
    const newer = fresh();
    Connection.open(newer)[Symbol.dispose]();
    using database = new DatabaseSync(newer);
    database.exec("PRAGMA user_version=99");
    database.close();
    assert.throws(() => Connection.open(newer), { code: "store_newer" });
    const foreign = fresh();
    const other = new DatabaseSync(foreign);
    other.exec("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
    other.close();
    assert.throws(() => Connection.open(foreign), { code: "store_foreign" });
    const text = fresh();
    writeFileSync(text, "not a database at all, but long enough to look at".repeat(50));
    assert.throws(() => Connection.open(text), { code: "store_corrupt" });
  });

  test("a migration that fails leaves the old version whole", () => {
    using database = new DatabaseSync(":memory:");
    migrate(database, ["CREATE TABLE a (x)"]);
    assert.throws(() =>
      migrate(database, ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE b (x)"]),
    );
    database.exec("ROLLBACK");
    assert.equal(database.prepare("PRAGMA user_version").get()?.["user_version"], 1);
    assert.equal(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"], 1);
  });

  test("damaged pages are noticed when the store is opened or checked", () => {
    using directory = new StoreDirectory();
    {
      using store = directory.open();
      store.transact((tx) => {
        for (let index = 0; index < 300; index += 1) tx.putIdentity(person(`p${index}`), now);
      });
    }
    const path = join(directory.path, "store.db");
    const bytes = readFileSync(path);
    bytes.fill(0xa5, 8 * 4096, 12 * 4096);
    writeFileSync(path, bytes);
    assert.throws(() => directory.open(), { code: "store_corrupt" });
  });

  test("a transaction does not nest", () => {
    using connection = Connection.open(fresh());
    assert.throws(() => connection.transaction(() => connection.transaction(() => 1)), {
      code: "store_nested",
    });
    assert.equal(
      connection.transaction(() => 2),
      2,
    );
  });

  test("SQLite's codes become ours, and a failing disk is not trusted again before a restart", () => {
    const code = (errcode: number) =>
      (storeFaultOf(Object.assign(new Error("x"), { errcode })) as { code: string }).code;
    assert.deepEqual([13, 10, 778, 11, 26, 5, 14, 8].map(code), [
      "store_full",
      "store_io",
      "store_io",
      "store_corrupt",
      "store_corrupt",
      "store_locked",
      "store_io",
      "store_io",
    ]);
    using connection = Connection.open(fresh());
    const failing = () =>
      connection.transaction(() => {
        throw Object.assign(new Error("disk I/O error"), { errcode: 10 });
      });
    assert.throws(failing, { code: "store_io" });
    assert.throws(() => connection.transaction(() => 1), { code: "store_io" });
  });
});
