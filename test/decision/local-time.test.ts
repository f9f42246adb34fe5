import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  dayOf,
  dayOfText,
  isTimeZone,
  localTimeIn,
  WEEKDAYS,
  weekdayOf,
} from "../../src/decision/local-time.ts";
import { epochMs } from "../../src/lib/brand.ts";

const DAY_MS = 86_400_000;
const ZONES = [
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Asia/Kathmandu",
  "UTC",
];

test("calendar days agree with the runtime's calendar", () => {
  fc.assert(
    fc.property(fc.integer({ min: -200_000, max: 200_000 }), (day) => {
      const date = new Date(day * DAY_MS);
      assert.equal(dayOf(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()), day);
      assert.equal(WEEKDAYS.indexOf(weekdayOf(day)), (date.getUTCDay() + 6) % 7);
    }),
  );
});

test("dates as text", () => {
  assert.equal(dayOfText("1970-01-02"), 1);
  assert.equal(dayOfText("2028-02-29"), dayOf(2028, 2, 29));
  for (const wrong of [
    "2026-02-29",
    "2026-13-01",
    "2026-00-10",
    "2026-04-31",
    "2026-4-1",
    "26-04-01",
    "",
    "2026-01-00",
  ]) {
    assert.equal(dayOfText(wrong), undefined, wrong);
  }
});

test("zones: names of the database, no offsets", () => {
  for (const zone of ZONES) assert.equal(isTimeZone(zone), true, zone);
  for (const wrong of ["", "+01:00", "Europe/Berln", "local", "Mars/Base"])
    assert.equal(isTimeZone(wrong), false, wrong);
});

test("Berlin skips an hour in spring and repeats one in autumn", () => {
  const berlin = localTimeIn("Europe/Berlin");
  const at = (text: string) => berlin(epochMs(Date.parse(text)));
  assert.deepEqual(at("2026-03-29T00:59:59Z"), { day: dayOf(2026, 3, 29), minutes: 119 });
  assert.deepEqual(at("2026-03-29T01:00:00Z"), { day: dayOf(2026, 3, 29), minutes: 180 });
  assert.deepEqual(at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
});

test("Apia had no 30 December 2011", () => {
  const apia = localTimeIn("Pacific/Apia");
  assert.equal(apia(epochMs(Date.parse("2011-12-30T09:59:00Z"))).day, dayOf(2011, 12, 29));
  assert.deepEqual(apia(epochMs(Date.parse("2011-12-30T10:00:00Z"))), {
    day: dayOf(2011, 12, 31),
    minutes: 0,
  });
});

test("agrees with the zone's offset added by hand, at any instant", () => {
  for (const zone of ZONES) {
    const convert = localTimeIn(zone);
    const offsets = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      timeZoneName: "longOffset",
    });
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(1980, 0), max: Date.UTC(2060, 0) }), (at) => {
        const shifted = new Date(at + offsetMs(offsets, at));
        assert.deepEqual(convert(epochMs(at)), {
          day: Math.floor(shifted.getTime() / DAY_MS),
          minutes: shifted.getUTCHours() * 60 + shifted.getUTCMinutes(),
        });
      }),
      { numRuns: 60 },
    );
  }
});

function offsetMs(format: Intl.DateTimeFormat, at: number): number {
  const text = format.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "";
  const found = /GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?/.exec(text);
  assert.ok(found, text);
  const seconds = Number(found[2] ?? 0) * 3600 + Number(found[3] ?? 0) * 60 + Number(found[4] ?? 0);
  return (found[1] === "-" ? -1 : 1) * seconds * 1000;
}
