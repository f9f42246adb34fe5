import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Candidate } from "../../src/gallery/index-port.ts";
import { cosine, type IdentityId, type TemplateId } from "../../src/lib/brand.ts";
import { matchOf } from "../../src/match/matching.ts";
import type { Threshold } from "../../src/match/threshold.ts";

const options = { marginMin: 0.05, candidates: 4 };
const bar: Threshold = { kind: "threshold", cosine: cosine(0.5), source: "table" };
const list = (...entries: readonly (readonly [string, number])[]): Candidate[] =>
  entries.map(([id, value], index) => ({
    identityId: id as IdentityId,
    templateId: `t${index}` as TemplateId,
    cosine: cosine(value),
  }));

test("the nearest identity wins with its margin to the best other one", () => {
  const match = matchOf(list(["ann", 0.8], ["ann", 0.79], ["bob", 0.3]), bar, options);
  assert.equal(match.kind, "identity");
  assert.ok(match.kind === "identity" && match.identityId === "ann");
  assert.ok(match.kind === "identity" && Math.abs((match.margin ?? 0) - 0.5) < 1e-9);
});

test("alone in the gallery there is no margin", () => {
  const match = matchOf(list(["ann", 0.8]), bar, options);
  assert.ok(match.kind === "identity" && match.margin === undefined);
});

test("each way to be unknown has its reason", () => {
  assert.deepEqual(matchOf([], bar, options), { kind: "unknown", reason: "no_gallery" });
  assert.deepEqual(matchOf(list(["ann", 0.4]), bar, options), {
    kind: "unknown",
    reason: "below_threshold",
    cosine: 0.4,
  });
  assert.deepEqual(matchOf(list(["ann", 0.8], ["bob", 0.78]), bar, options), {
    kind: "unknown",
    reason: "small_margin",
    cosine: 0.8,
  });
  assert.deepEqual(
    matchOf(list(["ann", 0.9]), { kind: "none", reason: "not_calibrated" }, options),
    {
      kind: "unknown",
      reason: "no_threshold",
      cosine: 0.9,
    },
  );
});

test("a full list of one identity is measured against its own end", () => {
  const same = list(["ann", 0.9], ["ann", 0.89], ["ann", 0.88], ["ann", 0.87]);
  assert.equal(matchOf(same, bar, options).kind, "unknown");
  assert.equal(matchOf(same, bar, { ...options, candidates: 5 }).kind, "identity");
});

test("NaN denies wherever it appears", () => {
  assert.equal(matchOf(list(["ann", Number.NaN]), bar, options).kind, "unknown");
  assert.equal(matchOf(list(["ann", 0.9], ["bob", Number.NaN]), bar, options).kind, "unknown");
  assert.equal(
    matchOf(list(["ann", 0.9]), { ...bar, cosine: cosine(Number.NaN) }, options).kind,
    "unknown",
  );
});

test("an identity is never named below the threshold or within the margin", () => {
  const entry = fc.tuple(fc.constantFrom("ann", "bob", "cat"), fc.double({ min: -1, max: 1 }));
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 6 }),
      fc.double({ min: -1, max: 1, noNaN: true }),
      (entries, floor) => {
        const candidates = list(...entries).sort((a, b) => b.cosine - a.cosine);
        const match = matchOf(
          candidates,
          { ...bar, cosine: cosine(floor) },
          { marginMin: 0.05, candidates: 10 },
        );
        if (match.kind === "unknown") return;
        assert.ok(match.cosine >= floor);
        for (const other of candidates) {
          if (other.identityId !== match.identityId) assert.ok(match.cosine - other.cosine >= 0.05);
        }
      },
    ),
  );
});
