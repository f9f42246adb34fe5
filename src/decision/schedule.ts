/**
 * Weekly schedules by local wall-clock time. Whether one is open depends on the local date and time of day
 * alone: the hour that autumn repeats is open (or closed) twice, the one that spring skips never comes.
 */
import { z } from "zod";
import type { EpochMs } from "../lib/brand.ts";
import { dayOfText, isTimeZone, localTimeIn, WEEKDAYS, weekdayOf } from "./local-time.ts";

const DAY_MINUTES = 24 * 60;
const WEEK_MINUTES = 7 * DAY_MINUTES;

/** `from` inclusive, `to` exclusive, minutes since the midnight that begins the day; `to` is above 1440 overnight. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** `HH:MM-HH:MM`, end exclusive and up to 24:00. An end before the start lies on the next day. */
export const Period = z
  .string()
  .regex(
    /^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$/,
    'must look like "08:00-18:00" (end up to "24:00")',
  )
  .refine(
    (text) => text.slice(0, 5) !== text.slice(6),
    'begins and ends at the same time: write "00:00-24:00" for a whole day',
  )
  .meta({
    description: 'local time, end exclusive: "08:00-18:00"; "22:00-06:00" ends on the next day',
  });

const periods = z.array(Period).max(16);
const day = periods.default([]);

export const Schedule = z
  .strictObject({
    timeZone: z
      .string()
      .max(64)
      .refine(
        isTimeZone,
        'is no time zone of the IANA database: write a name such as "Europe/Berlin"',
      )
      .meta({ description: "IANA name; summer time follows from it" }),
    weekly: z
      .strictObject({ mon: day, tue: day, wed: day, thu: day, fri: day, sat: day, sun: day })
      .meta({
        description: "open periods by the day on which they begin; a day without any is closed",
      }),
    exceptions: z
      .record(z.string(), periods)
      .refine((value) => Object.keys(value).length <= 400, "at most 400 dates")
      .default({})
      .meta({
        description:
          "holidays and special days: the periods that begin on this local date instead of the weekly ones ([]: closed)",
      }),
  })
  .superRefine((schedule, context) => {
    for (const { path, message } of problemsIn(schedule))
      context.addIssue({ code: "custom", path: [...path], message });
  });
export type Schedule = z.infer<typeof Schedule>;

export function spanOf(period: string): Span {
  const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  const from = minutes(period.slice(0, 5));
  const to = minutes(period.slice(6));
  return { from, to: to < from ? to + DAY_MINUTES : to };
}

/**
 * Whether the schedule is open at an instant. An overnight period belongs to the day on which it begins and
 * runs on into the next one, also into an exception.
 */
export function isOpen(schedule: Schedule, at: EpochMs): boolean {
  const local = localTimeIn(schedule.timeZone)(at);
  return isOpenAt(schedule, local.day, local.minutes);
}

/** The same by local day and minutes since local midnight. */
export function isOpenAt(schedule: Schedule, localDay: number, minutes: number): boolean {
  const covers = (text: string, minute: number) => {
    const span = spanOf(text);
    return minute >= span.from && minute < span.to;
  };
  return (
    periodsOn(schedule, localDay).some((text) => covers(text, minutes)) ||
    periodsOn(schedule, localDay - 1).some((text) => covers(text, minutes + DAY_MINUTES))
  );
}

function periodsOn(schedule: Schedule, localDay: number): readonly string[] {
  for (const [date, special] of Object.entries(schedule.exceptions)) {
    if (dayOfText(date) === localDay) return special;
  }
  return schedule.weekly[weekdayOf(localDay)];
}

interface Problem {
  readonly path: readonly string[];
  readonly message: string;
}

/** Dates that do not exist, and periods that cover the same minute: nearly always a slip of the pen. */
function problemsIn(schedule: Schedule): readonly Problem[] {
  const week = WEEKDAYS.flatMap((name, index) =>
    schedule.weekly[name].map((text) => ({
      name,
      text,
      from: index * DAY_MINUTES + spanOf(text).from,
      to: index * DAY_MINUTES + spanOf(text).to,
    })),
  );
  const problems: Problem[] = [];
  for (const [i, a] of week.entries()) {
    for (const b of week.slice(i + 1)) {
      const apart = (((b.from - a.from) % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
      if (apart >= a.to - a.from && WEEK_MINUTES - apart >= b.to - b.from) continue;
      problems.push({
        path: ["weekly", b.name],
        message: `"${b.text}" overlaps "${a.text}" of ${a.name}: merge or shorten them`,
      });
    }
  }
  for (const [date, special] of Object.entries(schedule.exceptions)) {
    if (dayOfText(date) === undefined) {
      problems.push({ path: ["exceptions", date], message: "is no date: write it as 2026-12-25" });
    }
    for (const [i, a] of special.entries()) {
      for (const b of special.slice(i + 1)) {
        if (spanOf(a).to <= spanOf(b).from || spanOf(b).to <= spanOf(a).from) continue;
        problems.push({
          path: ["exceptions", date],
          message: `"${b}" overlaps "${a}": merge or shorten them`,
        });
      }
    }
  }
  return problems;
}
