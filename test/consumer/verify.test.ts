import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  DecisionVerifier,
  type RefusalCode,
  type VerifierOptions,
} from "../../scripts/consumer/verify.ts";

interface Vectors {
  readonly options: VerifierOptions;
  readonly startedAtMs: number;
  readonly cases: readonly {
    readonly name: string;
    readonly steps: readonly {
      readonly message: string;
      readonly retained: boolean;
      readonly nowMs: number;
      readonly expect: string;
    }[];
  }[];
}

const file = new URL("../../scripts/consumer/vectors.json", import.meta.url);
const { options, startedAtMs, cases } = JSON.parse(readFileSync(file, "utf8")) as Vectors;
const say = (
  verifier: DecisionVerifier,
  message: Uint8Array,
  retained: boolean,
  nowMs: number,
): "grant" | "deny" | RefusalCode => {
  const verdict = verifier.check(message, retained, nowMs);
  return verdict.kind === "ok" ? verdict.decision.outcome : verdict.code;
};

describe("the shared vectors", () => {
  assert.ok(cases.length >= 40);
  for (const { name, steps } of cases) {
    test(name, () => {
      const verifier = new DecisionVerifier(options, startedAtMs);
      for (const one of steps)
        assert.equal(say(verifier, Buffer.from(one.message), one.retained, one.nowMs), one.expect);
    });
  }
});

const good = cases[0]?.steps[0];
assert.ok(good !== undefined);

test("any one flipped bit is refused", () => {
  const bytes = Buffer.from(good.message);
  fc.assert(
    fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      return (
        new DecisionVerifier(options, startedAtMs).check(flipped, false, good.nowMs).kind ===
        "refused"
      );
    }),
    { numRuns: 2000 },
  );
});

test("when no more ids can be remembered nothing is believed", () => {
  const verifier = new DecisionVerifier({ ...options, maxIds: 1 }, startedAtMs);
  const deny = cases.find(({ name }) => name === "a valid denial")?.steps[0];
  assert.ok(deny !== undefined);
  assert.equal(say(verifier, Buffer.from(good.message), false, good.nowMs), "grant");
  assert.equal(say(verifier, Buffer.from(deny.message), false, deny.nowMs), "overloaded");
});

test("ids are forgotten only after expiry, and a clock set back revives none", () => {
  const verifier = new DecisionVerifier({ ...options, maxIds: 1 }, startedAtMs);
  const long = cases.find(({ name }) => name === "a decision of the next minute")?.steps[0];
  assert.ok(long !== undefined);
  assert.equal(say(verifier, Buffer.from(good.message), false, good.nowMs), "grant");
  assert.equal(say(verifier, Buffer.from(long.message), false, long.nowMs), "deny");
  assert.equal(say(verifier, Buffer.from(good.message), false, good.nowMs), "expired");
});
