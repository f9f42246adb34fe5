import assert from "node:assert/strict";
import { test } from "node:test";
import { Book } from "../../src/decision/book.ts";
import {
  monotonicMs as at,
  type DoorId,
  type IdentityId,
  type TrackId,
} from "../../src/lib/brand.ts";
import { ANNA, BEN, DOOR } from "../support/decision.ts";

const options = {
  attemptsPerDoorPerMinuteMax: 2,
  attemptsPauseMs: 1000,
  coolDownMs: 10_000,
  decisionTtlMs: 5000,
  visitsMax: 2,
};
const T1 = "t1" as TrackId;
const BACK = "back" as DoorId;

test("visits are kept by door and by person", () => {
  const book = new Book(options);
  book.granted(DOOR, ANNA, T1, "d1", at(0));
  assert.equal(book.mayDecide(DOOR, ANNA, T1, at(1)), false);
  assert.equal(book.mayDecide(BACK, ANNA, T1, at(1)), true);
  assert.equal(book.mayDecide(DOOR, BEN, T1, at(1)), true);
  assert.equal(book.acknowledged("d9", at(1)), false);
  assert.equal(book.acknowledged("d1", at(1)), true);
  assert.equal(book.acknowledged("d1", at(1)), false);
});

test("the oldest visit is forgotten beyond the bound", () => {
  const book = new Book(options);
  for (const [index, id] of ["a", "b", "c"].entries())
    book.denied(DOOR, id as IdentityId, T1, at(index));
  assert.equal(book.visitCount, 2);
  assert.equal(book.mayDecide(DOOR, "a" as IdentityId, T1, at(9)), true);
  assert.equal(book.mayDecide(DOOR, "c" as IdentityId, T1, at(9)), false);
});

test("one door pauses alone, and tells each track once per pause", () => {
  const book = new Book(options);
  book.attempted(DOOR, at(0));
  book.attempted(DOOR, at(1));
  assert.equal(book.isPaused(DOOR, at(2)), true);
  assert.equal(book.isPaused(BACK, at(2)), false);
  assert.deepEqual([book.tell(DOOR, T1), book.tell(DOOR, T1)], [true, false]);
  book.attempted(DOOR, at(2000));
  book.attempted(DOOR, at(2001));
  assert.equal(book.tell(DOOR, T1), true, "a new pause");
});
