import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dayOf } from "../../src/decision/local-time.ts";
import { isOpen, isOpenAt, Period, Schedule, spanOf } from "../../src/decision/schedule.ts";
import { epochMs } from "../../src/lib/brand.ts";

const MINUTE_MS = 60_000;

const issues = (input: unknown): readonly string[] => {
  const parsed = Schedule.safeParse(input);
  return parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
};

test("periods: end exclusive, overnight, whole day", () => {
  assert.deepEqual(spanOf("08:00-18:00"), { from: 480, to: 1080 });
  assert.deepEqual(spanOf("22:00-06:00"), { from: 1320, to: 1800 });
  assert.deepEqual(spanOf("00:00-24:00"), { from: 0, to: 1440 });
  for (const wrong of [
    "8:00-18:00",
    "08:00",
    "08:00-25:00",
    "08:60-09:00",
    "24:00-08:00",
    "08:00-24:30",
    "08:00–18:00",
    "09:00-09:00",
  ]) {
    assert.equal(Period.safeParse(wrong).success, false, wrong);
  }
});

test("an office week with a night shift and a holiday", () => {
  const schedule = Schedule.parse({
    timeZone: "Europe/Berlin",
    weekly: { mon: ["08:00-12:00", "13:00-18:00"], fri: ["22:00-06:00"], sun: ["22:00-01:00"] },
    exceptions: { "2026-01-12": ["10:00-11:00"], "2026-01-16": [] },
  });
  const open = (text: string) => isOpen(schedule, epochMs(Date.parse(text)));
  // Monday 5 January 2026; Berlin is one hour ahead of UTC.
  assert.deepEqual(
    ["06:59:59", "07:00:00", "10:59:59", "11:00:00", "12:00:00", "16:59:59", "17:00:00"].map(
      (time) => open(`2026-01-05T${time}Z`),
    ),
    [false, true, true, false, true, true, false],
  );
  assert.equal(open("2026-01-09T20:59:00Z"), false, "Friday before the night shift");
  assert.equal(open("2026-01-09T21:00:00Z"), true, "Friday night");
  assert.equal(open("2026-01-10T04:59:00Z"), true, "Saturday morning");
  assert.equal(open("2026-01-10T05:00:00Z"), false, "end of the night shift");
  assert.equal(open("2026-01-11T23:59:00Z"), true, "Sunday night runs on into the holiday");
  assert.equal(open("2026-01-12T00:00:00Z"), false);
  assert.equal(open("2026-01-12T07:30:00Z"), false, "the holiday's own periods replace Monday's");
  assert.equal(open("2026-01-12T09:30:00Z"), true);
  assert.equal(open("2026-01-16T22:00:00Z"), false, "a closed special day has no night shift");
});

test("errors name the key and the fix", () => {
  assert.deepEqual(issues({ timeZone: "Europe/Berln", weekly: {} }), [
    'timeZone: is no time zone of the IANA database: write a name such as "Europe/Berlin"',
  ]);
  assert.deepEqual(issues({ timeZone: "UTC", weekly: { tue: ["08:00-12:00", "11:59-13:00"] } }), [
    'weekly.tue: "11:59-13:00" overlaps "08:00-12:00" of tue: merge or shorten them',
  ]);
  assert.deepEqual(
    issues({ timeZone: "UTC", weekly: { mon: ["00:00-01:00"], sun: ["23:00-00:30"] } }),
    ['weekly.sun: "23:00-00:30" overlaps "00:00-01:00" of mon: merge or shorten them'],
  );
  assert.deepEqual(
    issues({
      timeZone: "UTC",
      weekly: {},
      exceptions: { "2026-05-01": ["08:00-12:00", "10:00-11:00"] },
    }),
    ['exceptions.2026-05-01: "10:00-11:00" overlaps "08:00-12:00": merge or shorten them'],
  );
  assert.match(
    issues({ timeZone: "UTC", weekly: {}, exceptions: { "2026-02-30": [] } }).join(),
    /exceptions\.2026-02-30: is no date: write it as 2026-12-25/,
  );
  assert.match(
    issues({ timeZone: "UTC", weekly: { mon: ["8-18"] } }).join(),
    /weekly\.mon\.0: must look like "08:00-18:00"/,
  );
  assert.match(issues({ timeZone: "UTC", weekly: { monday: [] } }).join(), /monday/);
  assert.deepEqual(
    issues({
      timeZone: "UTC",
      weekly: { mon: ["08:00-12:00", "12:00-13:00"], tue: ["00:00-24:00"] },
    }),
    [],
  );
});

const clock = (minutes: number) =>
  `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
const period = fc
  .tuple(fc.integer({ min: 0, max: 1439 }), fc.integer({ min: 0, max: 1440 }))
  .filter(([from, to]) => from !== to)
  .map(([from, to]) => `${clock(from)}-${clock(to)}`);

/** Which minutes of each weekday are open, painted minute by minute. */
function painted(weekly: Schedule["weekly"]): readonly boolean[] {
  const week = new Array<boolean>(7 * 1440).fill(false);
  for (const [index, texts] of Object.values({ ...weekly }).entries()) {
    for (const text of texts) {
      const [from = "", to = ""] = text.split("-");
      let minute = index * 1440 + Number(from.slice(0, 2)) * 60 + Number(from.slice(3));
      do {
        week[minute % week.length] = true;
        minute += 1;
      } while (clock(minute % 1440) !== (to === "24:00" ? "00:00" : to));
    }
  }
  return week;
}

/** Local date and time by the zone's offset, another way than the code's. */
function reference(
  zone: string,
  at: number,
): { readonly weekday: number; readonly minutes: number } {
  const text = new Date(at).toLocaleString("sv-SE", { timeZone: zone });
  const local = new Date(`${text.replace(" ", "T")}Z`);
  return {
    weekday: (local.getUTCDay() + 6) % 7,
    minutes: local.getUTCHours() * 60 + local.getUTCMinutes(),
  };
}

test("around changes of summer time, every minute agrees with a painted week", () => {
  const changes: readonly (readonly [string, string])[] = [
    ["Europe/Berlin", "2026-03-29T01:00:00Z"],
    ["Europe/Berlin", "2026-10-25T01:00:00Z"],
    ["America/New_York", "2026-03-08T07:00:00Z"],
    ["America/New_York", "2026-11-01T06:00:00Z"],
    ["Australia/Lord_Howe", "2026-04-04T15:00:00Z"],
    ["Australia/Lord_Howe", "2026-10-03T15:30:00Z"],
    ["Pacific/Apia", "2011-12-30T10:00:00Z"],
    ["Pacific/Apia", "2020-09-26T14:00:00Z"],
  ];
  const days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
  fc.assert(
    fc.property(
      fc.constantFrom(...changes),
      fc.array(period, { minLength: 7, maxLength: 7 }),
      ([zone, change], texts) => {
        const weekly = Object.fromEntries(
          days.map((day, index) => [day, [texts[index]]]),
        ) as Schedule["weekly"];
        const schedule: Schedule = { timeZone: zone, weekly, exceptions: {} };
        const week = painted(weekly);
        const middle = Date.parse(change);
        for (let at = middle - 90 * MINUTE_MS; at < middle + 90 * MINUTE_MS; at += MINUTE_MS) {
          const local = reference(zone, at);
          assert.equal(
            isOpen(schedule, epochMs(at)),
            week[local.weekday * 1440 + local.minutes],
            `${zone} ${new Date(at).toISOString()} ${texts.join()}`,
          );
        }
      },
    ),
    { numRuns: 16 },
  );
});

test("every minute of a week agrees with a painted week", () => {
  const days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
  const monday = dayOf(2026, 1, 5);
  fc.assert(
    fc.property(
      fc.array(fc.array(period, { maxLength: 2 }), { minLength: 7, maxLength: 7 }),
      (texts) => {
        const weekly = Object.fromEntries(
          days.map((day, index) => [day, texts[index]]),
        ) as Schedule["weekly"];
        const schedule: Schedule = { timeZone: "UTC", weekly, exceptions: {} };
        const week = painted(weekly);
        for (let minute = 0; minute < week.length; minute += 7) {
          assert.equal(
            isOpenAt(schedule, monday + Math.floor(minute / 1440), minute % 1440),
            week[minute],
          );
        }
      },
    ),
    { numRuns: 20 },
  );
});

test("refuses overlaps exactly when two periods share a minute of the week", () => {
  fc.assert(
    fc.property(
      fc.array(period, { maxLength: 3 }),
      fc.array(period, { maxLength: 2 }),
      (sun, mon) => {
        const spans = [
          ...sun.map((text) => [6, text] as const),
          ...mon.map((text) => [0, text] as const),
        ].map(([day, text]) => ({
          from: day * 1440 + spanOf(text).from,
          to: day * 1440 + spanOf(text).to,
        }));
        const taken = new Map<number, number>();
        for (const { from, to } of spans)
          for (let m = from; m < to; m += 1)
            taken.set(m % 10_080, (taken.get(m % 10_080) ?? 0) + 1);
        const shared = [...taken.values()].some((count) => count > 1);
        assert.equal(issues({ timeZone: "UTC", weekly: { sun, mon } }).length > 0, shared);
      },
    ),
    { numRuns: 60 },
  );
});
