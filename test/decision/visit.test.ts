import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  acknowledged,
  denied,
  granted,
  mayDecide,
  NO_VISIT,
  type Visit,
} from "../../src/decision/visit.ts";
import { monotonicMs as at, type TrackId } from "../../src/lib/brand.ts";

const options = { coolDownMs: 10_000, decisionTtlMs: 5000 };
const T1 = "t1" as TrackId;
const T2 = "t2" as TrackId;

test("the cool-down begins with the acknowledgement", () => {
  const sent = granted(NO_VISIT, "d1", T1, at(0), options);
  assert.equal(mayDecide(sent, T1, at(4999)), false, "on its way");
  assert.equal(mayDecide(sent, T2, at(10)), false, "also for another track of the same person");
  const cool = acknowledged(sent, "d1", at(2000), options);
  assert.equal(mayDecide(cool, T2, at(11_999)), false);
  assert.equal(mayDecide(cool, T2, at(12_000)), true);
  assert.equal(mayDecide(cool, T1, at(99_000)), false, "one grant per visit");
});

test("a grant that was lost may be repeated after its expiry", () => {
  const sent = granted(NO_VISIT, "d1", T1, at(0), options);
  assert.equal(mayDecide(sent, T1, at(5000)), true);
  const again = granted(sent, "d2", T1, at(5000), options);
  assert.equal(mayDecide(again, T1, at(5001)), false);
  assert.equal(acknowledged(again, "d1", at(5001), options), again, "of the older grant");
  assert.equal(acknowledged(sent, "d1", at(5000), options), sent, "too late");
});

test("a denial is quiet for a while in its own track only", () => {
  const visit = denied(NO_VISIT, T1, at(0), options);
  assert.equal(mayDecide(visit, T1, at(9999)), false);
  assert.equal(mayDecide(visit, T1, at(10_000)), true);
  assert.equal(mayDecide(visit, T2, at(1)), true);
});

test("acknowledged grants of one person and door are at least a cool-down apart, whatever happens", () => {
  const event = fc.record({
    wait: fc.integer({ min: 0, max: 4000 }),
    kind: fc.constantFrom("try", "try", "acknowledge", "deny"),
    track: fc.constantFrom(T1, T2),
    late: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let visit: Visit = NO_VISIT;
      let now = 0;
      const ids: string[] = [];
      let coolSince: number | undefined;
      for (const { wait, kind, track, late } of events) {
        now += wait;
        if (kind === "try" && mayDecide(visit, track, at(now))) {
          if (coolSince !== undefined) assert.ok(now >= coolSince + options.coolDownMs);
          ids.push(`d${ids.length}`);
          visit = granted(visit, ids.at(-1) as string, track, at(now), options);
        } else if (kind === "acknowledge") {
          const next = acknowledged(visit, ids.at(-1 - late) ?? "none", at(now), options);
          if (next !== visit) coolSince = now;
          visit = next;
        } else if (kind === "deny" && mayDecide(visit, track, at(now))) {
          visit = denied(visit, track, at(now), options);
        }
      }
    }),
  );
});
