/** What SQLite's errors mean to us. */
import { Fault } from "../lib/fault.ts";

/** Primary result codes, https://www.sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** Faults and our own mistakes pass through; SQLite's become `store_full`, `store_io`, `store_corrupt` or `store_locked`. */
export function storeFaultOf(thrown: unknown): unknown {
  if (thrown instanceof Fault || !isSqlite(thrown)) return thrown;
  const cause = { cause: thrown };
  switch (thrown.errcode & 0xff) {
    case FULL:
      return new Fault(
        "store_full",
        "the disk under the store is full: free space; nothing can be granted or changed until then",
        { retry: "later", ...cause },
      );
    case IOERR:
    case CANTOPEN:
    case READONLY:
      return new Fault(
        "store_io",
        `the disk under the store fails (${thrown.message}): check it and its mount`,
        cause,
      );
    case CORRUPT:
    case NOTADB:
      return new Fault(
        "store_corrupt",
        `the store is damaged (${thrown.message}): stop ostiary, run \`ostiary check\`, restore a backup`,
        cause,
      );
    case BUSY:
    case LOCKED:
      return new Fault("store_locked", "another process holds the store: stop it", {
        retry: "later",
        ...cause,
      });
    default:
      return thrown;
  }
}

/** After these the file's state is unknown to us: only a restart, with SQLite's recovery, may trust it again. */
export function isFatal(fault: unknown): fault is Fault {
  return fault instanceof Fault && (fault.code === "store_io" || fault.code === "store_corrupt");
}

function isSqlite(thrown: unknown): thrown is Error & { readonly errcode: number } {
  return thrown instanceof Error && "errcode" in thrown && typeof thrown.errcode === "number";
}
