import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Access,
  AccessRules,
  accessOf,
  doorsOf,
  problemsOf,
  undeclaredGroups,
} from "../../src/decision/rules.ts";
import type { CameraId, DoorId, EpochMs, IdentityId } from "../../src/lib/brand.ts";
import { epochMs } from "../../src/lib/brand.ts";
import { ANNA, CAMERA, DOOR, openRules, person } from "../support/decision.ts";

const MONDAY_NOON = epochMs(Date.parse("2026-01-05T12:00:00Z"));
const rules = AccessRules.parse({
  groups: ["staff", "night", "guests"],
  schedules: {
    office: { timeZone: "UTC", weekly: { mon: ["08:00-18:00"] } },
    nights: { timeZone: "UTC", weekly: { mon: ["22:00-06:00"] } },
  },
  doors: [
    { id: "front", cameras: ["cam-1"], allow: { staff: ["office"], night: ["office", "nights"] } },
    { id: "back", cameras: ["cam-1", "cam-2"], allow: { night: ["always"] } },
    { id: "vault", cameras: ["cam-2"] },
  ],
});

const reasonOf = (access: Access) => (access.kind === "allowed" ? "allowed" : access.reason);
const asks = (groups: readonly string[], door: string, at: EpochMs = MONDAY_NOON) =>
  reasonOf(accessOf(rules, person(ANNA, { groups }), door as DoorId, at, "normal"));

test("groups, doors and schedules", () => {
  const evening = epochMs(Date.parse("2026-01-05T23:00:00Z"));
  assert.equal(asks(["staff"], "front"), "allowed");
  assert.equal(asks(["staff"], "front", evening), "outside_schedule");
  assert.equal(asks(["night"], "front", evening), "allowed");
  assert.equal(asks(["staff", "night"], "front", evening), "allowed");
  assert.equal(asks(["night"], "back", evening), "allowed");
  assert.equal(asks(["staff"], "back"), "no_rule");
  assert.equal(asks(["guests"], "front"), "no_rule");
  assert.equal(asks([], "front"), "no_rule");
  assert.equal(asks(["staff", "night"], "vault"), "no_rule");
  assert.equal(asks(["night"], "elsewhere"), "no_rule");
});

test("names that every object inherits are no groups and no schedules", () => {
  for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf"]) {
    assert.equal(asks([name], "front"), "no_rule", name);
    const odd = {
      ...rules,
      doors: rules.doors.map((door) => ({ ...door, allow: { staff: [name] } })),
    };
    assert.equal(
      reasonOf(accessOf(odd, person(ANNA), DOOR, MONDAY_NOON, "normal")),
      "outside_schedule",
      name,
    );
  }
});

test("the priority of reasons is fixed", () => {
  const at = MONDAY_NOON;
  const worst = person(ANNA, {
    enabled: false,
    validFrom: epochMs(at + 1),
    validUntil: epochMs(at - 1),
    groups: [],
  });
  const say = (identity: typeof worst, mode: "normal" | "lockdown" = "normal") =>
    reasonOf(accessOf(rules, identity, DOOR, at, mode));
  assert.equal(say(worst, "lockdown"), "lockdown");
  assert.equal(say(worst), "identity_disabled");
  assert.equal(say({ ...worst, enabled: true }), "not_yet_valid");
  assert.equal(say({ ...worst, enabled: true, validFrom: at }), "expired");
  assert.equal(
    say({ ...worst, enabled: true, validFrom: at, validUntil: epochMs(at + 1) }),
    "no_rule",
  );
});

test("validity begins inclusive and ends exclusive", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e12 }),
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: -2000, max: 2000 }),
      (from, length, offset) => {
        const identity = person(ANNA, {
          validFrom: epochMs(from),
          validUntil: epochMs(from + length),
        });
        const at = epochMs(from + offset);
        const expected = offset < 0 ? "not_yet_valid" : offset >= length ? "expired" : "allowed";
        assert.equal(reasonOf(accessOf(openRules(), identity, DOOR, at, "normal")), expected);
      },
    ),
  );
});

test("a time that is no number is outside every validity and schedule", () => {
  const nan = epochMs(Number.NaN);
  assert.equal(
    reasonOf(accessOf(openRules(), person(ANNA, { validFrom: epochMs(0) }), DOOR, nan, "normal")),
    "not_yet_valid",
  );
  assert.equal(
    reasonOf(
      accessOf(openRules(), person(ANNA, { validUntil: epochMs(9e12) }), DOOR, nan, "normal"),
    ),
    "expired",
  );
});

const anyRules = fc
  .record({
    front: fc.dictionary(
      fc.constantFrom("staff", "guests"),
      fc.subarray(["always", "office"], { minLength: 1 }),
    ),
    periods: fc.subarray(["00:00-06:00", "08:00-12:00", "13:00-24:00"]),
  })
  .map(({ front, periods }) =>
    AccessRules.parse({
      groups: ["staff", "guests"],
      schedules: { office: { timeZone: "Europe/Berlin", weekly: { mon: periods, thu: periods } } },
      doors: [{ id: "front", cameras: ["cam-1"], allow: front }],
    }),
  );

test("nobody passes who is disabled, out of validity, in no allowed group, or in a lockdown", () => {
  const instant = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2026, 11) });
  fc.assert(
    fc.property(
      anyRules,
      fc.record({
        groups: fc.subarray(["staff", "guests", "other"]),
        enabled: fc.boolean(),
        validFrom: fc.option(instant, { nil: undefined }),
        validUntil: fc.option(instant, { nil: undefined }),
      }),
      instant,
      fc.constantFrom("normal" as const, "lockdown" as const),
      (anyRule, { groups, enabled, validFrom, validUntil }, at, mode) => {
        const identity = person(ANNA as IdentityId, {
          groups,
          enabled,
          ...(validFrom !== undefined && { validFrom: epochMs(validFrom) }),
          ...(validUntil !== undefined && { validUntil: epochMs(validUntil) }),
        });
        if (accessOf(anyRule, identity, DOOR, epochMs(at), mode).kind !== "allowed") return;
        assert.equal(mode, "normal");
        assert.equal(enabled, true);
        assert.ok(validFrom === undefined || at >= validFrom);
        assert.ok(validUntil === undefined || at < validUntil);
        assert.ok(
          groups.some((group) => Object.keys(anyRule.doors[0]?.allow ?? {}).includes(group)),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("default deny: empty rules allow nobody anywhere", () => {
  const empty = AccessRules.parse({});
  fc.assert(
    fc.property(fc.array(fc.string()), fc.string(), fc.integer(), (groups, door, at) => {
      assert.equal(
        accessOf(empty, person(ANNA, { groups }), door as DoorId, epochMs(at), "normal").kind,
        "denied",
      );
    }),
  );
});

const complaints = (input: unknown): readonly string[] => {
  const parsed = AccessRules.safeParse(input);
  return parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
};

test("cross-checks name the key and the fix", () => {
  const door = { id: "front", cameras: ["cam-1"] };
  assert.deepEqual(
    complaints({ groups: ["staff"], doors: [{ ...door, allow: { staf: ["office"] } }] }),
    [
      'doors.0.allow.staf: no group "staf" is declared: add it to groups, or name one of staff',
      'doors.0.allow.staf.0: no schedule "office" is declared: add it to schedules, or name one of always',
    ],
  );
  assert.deepEqual(complaints({ doors: [door, door] }), [
    'doors.1.id: door "front" exists twice: rename or merge one',
  ]);
  assert.deepEqual(complaints({ groups: ["a", "a"], doors: [{ ...door, cameras: ["c", "c"] }] }), [
    'groups.1: group "a" is listed twice: remove one',
    'doors.0.cameras.1: camera "c" is listed twice: remove one',
  ]);
  assert.deepEqual(complaints({ schedules: { always: { timeZone: "UTC", weekly: {} } } }), [
    'schedules.always: "always" is built in: choose another name',
  ]);
  assert.match(
    complaints({ schedules: { "a b": { timeZone: "UTC", weekly: {} } } }).join(),
    /schedules\.a b: the name "a b" must be 1 to 64/,
  );
  assert.match(complaints({ doors: [{ ...door, open: true }] }).join(), /open/);
});

test("cameras are checked against those configured", () => {
  assert.deepEqual(problemsOf(rules, ["cam-1" as CameraId, "cam-9" as CameraId]), [
    {
      path: ["doors", 1, "cameras", 1],
      message: 'no camera "cam-2" is configured: add it to cameras, or name one of cam-1, cam-9',
    },
    {
      path: ["doors", 2, "cameras", 0],
      message: 'no camera "cam-2" is configured: add it to cameras, or name one of cam-1, cam-9',
    },
  ]);
  assert.deepEqual(problemsOf(rules, ["cam-1" as CameraId, "cam-2" as CameraId]), []);
  assert.match(problemsOf(rules, [])[0]?.message ?? "", /\(none\)/);
});

test("one camera may serve several doors", () => {
  assert.deepEqual(
    doorsOf(rules, CAMERA).map(({ id }) => id),
    ["front", "back"],
  );
  assert.deepEqual(doorsOf(rules, "cam-7" as CameraId), []);
});

test("memberships that open nothing are told", () => {
  assert.deepEqual(undeclaredGroups(rules, ["staff", "stuff"]), ["stuff"]);
});
