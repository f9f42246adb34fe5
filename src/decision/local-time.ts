/** Local wall-clock time of an instant, and the calendar arithmetic that schedules need. */
import type { EpochMs } from "../lib/brand.ts";

export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

export interface LocalTime {
  /** Days since 1970-01-01 of the local calendar date. */
  readonly day: number;
  /** Minutes since local midnight by the wall clock, [0, 1440). */
  readonly minutes: number;
}

/** True when the runtime's time zone database knows the name. Offsets such as `+01:00` are refused: they know no summer time. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Prepares the conversion for one IANA zone. Building it is the costly part; keep it for many instants. */
export function localTimeIn(timeZone: string): (at: EpochMs) => LocalTime {
  const format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (at) => {
    const parts = format.formatToParts(at);
    const read = (type: Intl.DateTimeFormatPartTypes) =>
      Number(parts.find((part) => part.type === type)?.value);
    return {
      day: dayOf(read("year"), read("month"), read("day")),
      minutes: read("hour") * 60 + read("minute"),
    };
  };
}

/** 1970-01-01 was a Thursday. */
export function weekdayOf(day: number): Weekday {
  return WEEKDAYS[(((day + 3) % 7) + 7) % 7] as Weekday;
}

/**
 * Days since 1970-01-01 of a Gregorian date; `month` from 1. Years are counted from March, so that the leap
 * day is the last of its year.
 */
export function dayOf(year: number, month: number, dayOfMonth: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + dayOfMonth - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** `YYYY-MM-DD` → days since 1970-01-01. @returns undefined when no such date exists */
export function dayOfText(text: string): number | undefined {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (found === null) return undefined;
  const [year, month, dayOfMonth] = [Number(found[1]), Number(found[2]), Number(found[3])];
  if (month < 1 || month > 12 || dayOfMonth < 1) return undefined;
  const nextMonth = month === 12 ? dayOf(year + 1, 1, 1) : dayOf(year, month + 1, 1);
  const day = dayOf(year, month, dayOfMonth);
  return day < nextMonth ? day : undefined;
}
