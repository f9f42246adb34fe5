import assert from "node:assert/strict";
import { test } from "node:test";
import type { EpochMs } from "../../src/lib/brand.ts";
import { type DesiredContext, judgeDesired } from "../../src/release/desired.ts";

const FROM = "2026-11-26T08:00:00Z";
const UNTIL = "2026-11-27T08:00:00Z";
const NOON = Date.parse("2026-11-26T12:00:00Z") as EpochMs;
const document = {
  schema: 1,
  kind: "desired",
  aud: "hq/north-door",
  jobId: "job-0001",
  seq: 12,
  pack: { id: "entrance-7", sha256: "ab".repeat(32), releaseCounter: 7 },
  ring: "canary",
  issuedAt: "2026-11-26T07:00:00Z",
  from: FROM,
  until: UNTIL,
};
const context: DesiredContext = { address: "hq/north-door", now: NOON, last: undefined };

function codeOf(changes: object, changed: Partial<DesiredContext> = {}): string {
  const verdict = judgeDesired(JSON.stringify({ ...document, ...changes }), {
    ...context,
    ...changed,
  });
  return verdict.kind === "refused" ? verdict.code : verdict.kind;
}

test("a desired state for this device within its window is wanted", () => {
  const verdict = judgeDesired(JSON.stringify(document), context);
  assert.equal(verdict.kind, "wanted");
  assert.equal(verdict.kind === "wanted" && verdict.desired.attemptEpoch, 0);
  assert.equal(verdict.kind === "wanted" && verdict.desired.allowRollbackTo, undefined);
});

test("the same document again is wanted again; a lower number, or the same for another job, is replayed", () => {
  assert.equal(codeOf({}, { last: { seq: 12, jobId: "job-0001" } }), "wanted");
  assert.equal(codeOf({}, { last: { seq: 11, jobId: "job-0000" } }), "wanted");
  assert.equal(codeOf({}, { last: { seq: 13, jobId: "job-0002" } }), "replayed");
  assert.equal(codeOf({ jobId: "job-0002" }, { last: { seq: 12, jobId: "job-0001" } }), "replayed");
});

test("a document for another device moves nothing", () => {
  assert.equal(codeOf({ aud: "hq/south-door" }), "misaddressed");
});

test("before its window it waits, after its window it has expired", () => {
  assert.equal(codeOf({}, { now: (Date.parse(FROM) - 1) as EpochMs }), "early");
  assert.equal(codeOf({}, { now: Date.parse(FROM) as EpochMs }), "wanted");
  assert.equal(codeOf({}, { now: Date.parse(UNTIL) as EpochMs }), "wanted");
  assert.equal(codeOf({}, { now: (Date.parse(UNTIL) + 1) as EpochMs }), "expired");
});

test("what is no desired state is malformed", () => {
  assert.equal(judgeDesired("{", context).kind, "refused");
  assert.equal(codeOf({ kind: "command" }), "malformed");
  assert.equal(codeOf({ seq: -1 }), "malformed");
  assert.equal(codeOf({ pack: { ...document.pack, sha256: "AB".repeat(32) } }), "malformed");
  assert.equal(codeOf({ surprise: true }), "malformed");
});
