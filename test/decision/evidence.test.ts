import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Evidence,
  type EvidenceInput,
  type EvidenceStep,
  noEvidence,
  step,
  type Verdict,
} from "../../src/decision/evidence.ts";
import { DecisionOptions } from "../../src/decision/options.ts";
import { weightOf } from "../../src/decision/weight.ts";
import type { QualityReason } from "../../src/face/face.ts";
import { type Cosine, type IdentityId, monotonicMs, type SpaceId } from "../../src/lib/brand.ts";
import type { Match } from "../../src/match/match.ts";
import {
  ANNA,
  BEN,
  GOOD,
  matched,
  decisionOptions as options,
  SPACE,
  UNKNOWN,
} from "../support/decision.ts";

const frame = (
  at: number,
  match: Match,
  weight = weightOf(GOOD, match),
  spaceId = SPACE,
): EvidenceInput => ({
  kind: "frame",
  at: monotonicMs(at),
  spaceId,
  match,
  weight,
});
const ended = (at: number): EvidenceInput => ({ kind: "ended", at: monotonicMs(at) });
const unusable = (at: number, ...reasons: QualityReason[]): EvidenceInput => ({
  kind: "unusable",
  at: monotonicMs(at),
  reasons,
});

function run(
  inputs: readonly EvidenceInput[],
  use: DecisionOptions = options,
): {
  readonly evidence: Evidence;
  readonly steps: readonly EvidenceStep[];
  readonly said: readonly Verdict[];
} {
  let evidence = noEvidence(SPACE);
  const steps = inputs.map((input) => {
    const next = step(evidence, input, use);
    evidence = next.evidence;
    return next;
  });
  return { evidence, steps, said: steps.flatMap(({ verdict }) => verdict ?? []) };
}

/** A: Anna, B: Ben, -: nobody; 100 ms apart. */
const frames = (letters: string): readonly EvidenceInput[] =>
  [...letters].map((letter, index) =>
    frame(index * 100, letter === "A" ? matched(ANNA) : letter === "B" ? matched(BEN) : UNKNOWN),
  );
const kinds = (letters: string, end = false) =>
  run([...frames(letters), ...(end ? [ended(99_999)] : [])]).said.map((verdict) =>
    verdict.kind === "identified" ? verdict.identityId : verdict.kind,
  );

test("three frames of one person identify, and say so once", () => {
  const { said, steps } = run(frames("AAAAA"));
  assert.deepEqual(said, [
    { kind: "identified", identityId: ANNA, frames: 3, bestCosine: 0.8, firstUsableAt: 0 },
  ]);
  assert.deepEqual(
    steps.map(({ confirmed }) => confirmed !== undefined),
    [false, false, true, true, true],
  );
});

test("one lucky frame never identifies", () => {
  for (const letters of ["A", "A-", "-A", "AA", "A---------", "----A----", "---------A"]) {
    assert.ok(!kinds(letters, true).includes(ANNA), letters);
  }
  assert.deepEqual(kinds("-----A----", true), ["unknown"]);
});

test("unknown is provisional: a person may follow within the track", () => {
  assert.deepEqual(kinds("-----AAAAAA"), ["unknown"]);
  assert.deepEqual(kinds("-----AAAAAAA"), ["unknown", ANNA]);
});

test("frames that point at different people are a disagreement", () => {
  assert.deepEqual(kinds("ABABA"), ["disagreement"]);
  assert.deepEqual(kinds("AAB-"), []);
  assert.deepEqual(kinds("AABBA", true), ["disagreement"]);
});

test("weight counts: poor frames of a person do not outweigh good frames of nobody", () => {
  const poor = (at: number) => frame(at, matched(ANNA), 0.2);
  const { said } = run([poor(0), poor(1), frame(2, UNKNOWN, 1), poor(3), poor(4)]);
  assert.deepEqual(
    said.map(({ kind }) => kind),
    ["unknown"],
  );
  assert.equal(
    run([poor(0), poor(1), frame(2, UNKNOWN, 0.2), poor(3), poor(4)]).said[0]?.kind,
    "identified",
  );
});

test("heavy frames do not replace a majority by number", () => {
  const heavy = (at: number) => frame(at, matched(ANNA), 1);
  const light = (at: number) => frame(at, UNKNOWN, 0.125);
  const { said } = run([light(0), light(1), light(2), heavy(3), heavy(4), heavy(5)]);
  assert.deepEqual(
    said.map(({ kind }) => kind),
    ["unknown"],
  );
});

test("a person who turns away stays identified; another face takes over only by its own quorum", () => {
  assert.deepEqual(kinds("AAA-----"), [ANNA]);
  assert.deepEqual(kinds("AAABBB"), [ANNA]);
  assert.deepEqual(kinds(`AAA${"B".repeat(6)}`), [ANNA, BEN]);
  assert.deepEqual(kinds(`AAA${"-".repeat(12)}`), [ANNA, "unknown"]);
});

test("tracks that end early say why", () => {
  const at = (n: number) => n * 100;
  assert.deepEqual(
    run([
      unusable(at(0), "dark"),
      unusable(at(1), "dark", "blurred"),
      unusable(at(2), "blurred"),
      unusable(at(3), "blurred"),
      ended(at(4)),
    ]).said,
    [{ kind: "unusable", frames: 0, quality: ["blurred", "dark"] }],
  );
  assert.deepEqual(
    run([unusable(0, "turned"), frame(1, matched(ANNA)), frame(2, matched(ANNA)), ended(3)]).said,
    [{ kind: "too_few_frames", frames: 2, quality: ["turned"], bestCosine: 0.8, firstUsableAt: 1 }],
  );
  assert.deepEqual(kinds("---", true), ["unknown"]);
  const seen = [1, 2, 3].map((time): EvidenceInput => ({ kind: "seen", at: monotonicMs(time) }));
  assert.deepEqual(run([...seen, ended(9)]).said, [
    { kind: "too_few_frames", frames: 0, quality: [], firstUsableAt: 1 },
  ]);
});

test("a glimpse ends without a word, and an ended track stays ended", () => {
  assert.deepEqual(run([unusable(0, "dark"), frame(1, UNKNOWN), ended(2)]).said, []);
  assert.deepEqual(
    run([...frames("AA"), ended(500), ...[6, 7, 8].map((n) => frame(n * 100, matched(ANNA)))]).said,
    [],
  );
  assert.deepEqual(kinds("AAA", true), [ANNA]);
});

test("the same picture twice, or an older one, counts once", () => {
  const { said, evidence } = run([
    frame(5, matched(ANNA)),
    frame(5, matched(ANNA)),
    frame(4, matched(ANNA)),
    frame(6, matched(ANNA)),
  ]);
  assert.deepEqual(said, []);
  assert.equal(evidence.usableFrames, 2);
});

test("old frames no longer count", () => {
  assert.deepEqual(
    run([
      frame(0, matched(ANNA)),
      frame(1, matched(ANNA)),
      frame(options.windowMs + 1, matched(ANNA)),
    ]).said,
    [],
  );
});

test("too many attempts: a pause in which nothing counts, then a new beginning", () => {
  const use = DecisionOptions.parse({ attemptsPerTrackMax: 6, attemptsPauseMs: 1000 });
  const { said, evidence } = run(frames("------AAAAA"), use);
  assert.deepEqual(
    said.map(({ kind }) => kind),
    ["unknown", "too_many_attempts"],
  );
  assert.deepEqual([evidence.votes.length, evidence.pausedUntil], [0, 1500]);
  const after = run(
    [...frames("------AAAAA"), ...[15, 16, 17].map((n) => frame(n * 100, matched(ANNA)))],
    use,
  );
  assert.equal(after.said.at(-1)?.kind, "identified");
  assert.equal(
    run(frames(`AAA${"A".repeat(40)}`), use).said.length,
    1,
    "frames that confirm are no attempts",
  );
});

test("numbers that are none, other spaces and matches below their threshold are faults", () => {
  const code = (input: EvidenceInput) => {
    try {
      step(noEvidence(SPACE), input, options);
      return "none";
    } catch (fault) {
      return (fault as { readonly code?: string }).code;
    }
  };
  assert.equal(code(frame(0, matched(ANNA, Number.NaN))), "not_finite");
  assert.equal(
    code(frame(0, { kind: "unknown", reason: "below_threshold", cosine: Number.NaN as Cosine })),
    "not_finite",
  );
  assert.equal(code(frame(Number.NaN, UNKNOWN)), "not_finite");
  for (const weight of [Number.NaN, 0, -1, Number.POSITIVE_INFINITY])
    assert.equal(code(frame(0, UNKNOWN, weight)), "not_finite");
  assert.equal(code(frame(0, UNKNOWN, 1, "other" as SpaceId)), "space_mismatch");
  assert.equal(code(frame(0, matched(ANNA, 0.4, 0.5))), "below_threshold");
  assert.equal(code(frame(0, UNKNOWN)), "none");
});

// Any sequence of what may come, at irregular times.

const anyMatch: fc.Arbitrary<Match> = fc.oneof(
  fc
    .tuple(fc.constantFrom<IdentityId>(ANNA, BEN), fc.double({ min: 0.5, max: 1, noNaN: true }))
    .map(([id, cosine]) => matched(id, cosine)),
  fc.constant(UNKNOWN),
);
const anyQuality = fc.record({
  eyeDistancePx: fc.integer({ min: 10, max: 100 }),
  sharpness: fc.integer({ min: 10, max: 300 }),
});
const anyLook = fc.record({
  match: anyMatch,
  quality: anyQuality,
  wait: fc.integer({ min: 1, max: 900 }),
  kind: fc.constantFrom("frame", "frame", "frame", "frame", "seen", "unusable"),
});
type Look = typeof anyLook extends fc.Arbitrary<infer T> ? T : never;
const anyOptions = fc
  .record({
    framesMin: fc.integer({ min: 2, max: 5 }),
    agreeingShareMin: fc.double({ min: 0.51, max: 1, noNaN: true }),
    attemptsPerTrackMax: fc.integer({ min: 3, max: 30 }),
    attemptsPauseMs: fc.integer({ min: 1000, max: 4000 }),
  })
  .map((fields) =>
    DecisionOptions.parse({ ...fields, unknownAfterFrames: 5, windowFramesMax: 8, windowMs: 4000 }),
  );

function inputsOf(looks: readonly Look[]): readonly EvidenceInput[] {
  let at = 0;
  return looks.map(({ match, quality, wait, kind }) => {
    at += wait;
    if (kind === "seen") return { kind: "seen", at: monotonicMs(at) };
    if (kind === "unusable") return unusable(at, "blurred");
    return frame(at, match, weightOf({ ...GOOD, ...quality }, match));
  });
}

test("a person is only identified by enough recent frames of theirs and a majority, the last one included", () => {
  fc.assert(
    fc.property(fc.array(anyLook, { maxLength: 40 }), anyOptions, (looks, use) => {
      const inputs = inputsOf(looks);
      for (const [index, { confirmed, verdict }] of run(inputs, use).steps.entries()) {
        if (verdict?.kind === "identified") assert.equal(confirmed, verdict);
        if (confirmed === undefined) continue;
        const last = inputs[index];
        assert.ok(
          last?.kind === "frame" &&
            last.match.kind === "identity" &&
            last.match.identityId === confirmed.identityId,
        );
        const recent = inputs
          .slice(0, index + 1)
          .filter((input) => input.kind === "frame" && input.at > last.at - use.windowMs);
        const own = recent
          .slice(-use.windowFramesMax)
          .filter(
            (input) =>
              input.kind === "frame" &&
              input.match.kind === "identity" &&
              input.match.identityId === confirmed.identityId,
          );
        assert.ok(
          own.length >= use.framesMin &&
            confirmed.frames >= use.framesMin &&
            confirmed.frames <= own.length,
        );
      }
    }),
    { numRuns: 300 },
  );
});

test("replacing matching frames by unknown ones never turns a denial into a grant", () => {
  fc.assert(
    fc.property(
      fc.array(anyLook, { maxLength: 30 }),
      fc.infiniteStream(fc.boolean()),
      anyOptions,
      (looks, replace, use) => {
        const isIdentified = (all: readonly Look[]) =>
          run(inputsOf(all), use).said.some(({ kind }) => kind === "identified");
        const poorer = looks.map((look) =>
          replace.next().value ? { ...look, match: UNKNOWN } : look,
        );
        if (isIdentified(poorer)) assert.ok(isIdentified(looks));
      },
    ),
    { numRuns: 400 },
  );
});

test("each miss is said at most once between two identifications, and the state stays bounded", () => {
  fc.assert(
    fc.property(fc.array(anyLook, { maxLength: 60 }), anyOptions, (looks, use) => {
      const { said, evidence } = run([...inputsOf(looks), ended(1e9)], use);
      let since = new Set<string>();
      let last: Verdict | undefined;
      for (const verdict of said) {
        if (verdict.kind === "identified") {
          assert.ok(last?.kind !== "identified" || last.identityId !== verdict.identityId);
          since = new Set();
        } else {
          assert.ok(!since.has(verdict.kind));
          since.add(verdict.kind);
        }
        last = verdict;
      }
      assert.ok(
        evidence.votes.length <= use.windowFramesMax &&
          evidence.attempts <= use.attemptsPerTrackMax,
      );
    }),
    { numRuns: 300 },
  );
});

test("within a pause's length at most the allowed number of frames is compared without a confirmation", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 3, max: 10 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 80 }),
      (most, waits) => {
        const use = DecisionOptions.parse({ attemptsPerTrackMax: most, attemptsPauseMs: 2000 });
        let at = 0;
        const inputs = waits.map((wait) => {
          at += wait;
          return frame(at, UNKNOWN);
        });
        const { steps } = run(inputs, use);
        const counted = inputs
          .filter((_, index) => steps[index]?.attempted)
          .map((input) => input.at);
        for (const [index, time] of counted.entries()) {
          const next = counted[index + most];
          if (next !== undefined) assert.ok(next - time >= 2000);
        }
      },
    ),
  );
});
