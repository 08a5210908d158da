/** From which moment to which a view asks, and in which steps. */

import type { Interval, Range, View } from "./view";

export interface Period {
  /** ISO 8601 in UTC, inclusive. */
  from: string;
  /** Exclusive; up to a minute ahead, so that what happens now is in it. */
  to: string;
  interval: Interval;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const STEPS: Record<Exclude<Range, "custom">, Interval> = {
  "1h": "minute",
  "24h": "hour",
  "7d": "hour",
  "30d": "day",
  "90d": "day",
  "12mo": "week",
};

/** The API answers at most 2,000 steps (api/analytics/buckets.py). */
const LONGEST: Record<Interval, number> = {
  minute: 33 * HOUR,
  hour: 82 * DAY,
  day: 5 * 365 * DAY,
  week: 38 * 365 * DAY,
  month: 160 * 365 * DAY,
};

/** Whole days of the view's zone, or hours, up to now: the last is the running one. */
export function periodOf(view: View, now: Date): Period {
  const [from, to] = boundsOf(view, now);
  const length = to.getTime() - from.getTime();
  const wished = view.interval ?? (view.range === "custom" ? fitting(length) : STEPS[view.range]);
  const interval = length <= LONGEST[wished] ? wished : fitting(length);
  return { from: from.toISOString(), to: to.toISOString(), interval };
}

/** The intervals that can be asked for over so long a time. */
export function possibleIntervals(period: Period): Interval[] {
  const length = Date.parse(period.to) - Date.parse(period.from);
  return (Object.keys(LONGEST) as Interval[]).filter(
    (each) => length <= LONGEST[each] && (each !== "month" || length > 28 * DAY),
  );
}

function boundsOf(view: View, now: Date): [Date, Date] {
  const end = new Date(Math.ceil((now.getTime() + 1) / MINUTE) * MINUTE);
  const zone = view.timeZone;
  switch (view.range) {
    case "1h":
      return [new Date(end.getTime() - HOUR), end];
    case "24h":
      return [new Date(startOfHour(now, zone).getTime() - 23 * HOUR), end];
    case "7d":
      return [startOfDay(now, zone, -6), end];
    case "30d":
      return [startOfDay(now, zone, -29), end];
    case "90d":
      return [startOfDay(now, zone, -89), end];
    case "12mo":
      // From a Monday on, as the API's weeks are.
      return [startOfDay(now, zone, -weekday(now, zone) - 52 * 7), end];
    case "custom": {
      const first = startOfNamedDay(view.first, zone);
      const last = startOfNamedDay(view.last, zone, 1);
      // A running day is not held against a whole one of the period before.
      return [first, first <= now && now < last ? end : last];
    }
  }
}

function fitting(length: number): Interval {
  if (length <= 3 * HOUR) return "minute";
  if (length <= 8 * DAY) return "hour";
  if (length <= 200 * DAY) return "day";
  return length <= 3 * 365 * DAY ? "week" : "month";
}

/** When the day of a moment begins in a zone, so many days later. */
export function startOfDay(moment: Date, zone: string, days = 0): Date {
  return startOfNamedDay(dayIn(moment, zone), zone, days);
}

function startOfHour(moment: Date, zone: string): Date {
  const wall = moment.getTime() + offsetOf(moment, zone);
  return new Date(Math.floor(wall / HOUR) * HOUR - offsetOf(moment, zone));
}

/** Days since Monday. */
function weekday(moment: Date, zone: string): number {
  return (new Date(`${dayIn(moment, zone)}T00:00:00Z`).getUTCDay() + 6) % 7;
}

/** The date in a zone, as YYYY-MM-DD. */
export function dayIn(moment: Date, zone: string): string {
  const { year, month, day } = wallClock(moment, zone);
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
}

/** RFC 3339 in whole seconds, on the clock of a zone; offsets in it have no seconds. */
export function writtenIn(moment: Date, zone: string): string {
  const offset = Math.round(offsetOf(moment, zone) / MINUTE) * MINUTE;
  const wall = new Date(moment.getTime() + offset).toISOString().slice(0, 19);
  if (offset === 0) return `${wall}Z`;
  const minutes = Math.abs(offset) / MINUTE;
  const apart = `${pad(Math.floor(minutes / 60), 2)}:${pad(minutes % 60, 2)}`;
  return `${wall}${offset < 0 ? "-" : "+"}${apart}`;
}

function startOfNamedDay(name: string, zone: string, days = 0): Date {
  const wall = Date.parse(`${name}T00:00:00Z`) + days * DAY;
  // Where the clock jumps at midnight the day begins later; a second look finds that offset.
  const guess = wall - offsetOf(new Date(wall), zone);
  const begin = new Date(guess);
  const wanted = new Date(wall).toISOString().slice(0, 10);
  const again = new Date(wall - offsetOf(begin, zone));
  return dayIn(again, zone) === wanted ? again : begin;
}

function offsetOf(moment: Date, zone: string): number {
  const { year, month, day, hour, minute, second } = wallClock(moment, zone);
  const wall = Date.UTC(year, month - 1, day, hour, minute, second);
  return wall - Math.floor(moment.getTime() / 1000) * 1000;
}

function wallClock(moment: Date, zone: string) {
  const parts = new Intl.DateTimeFormat("en-u-hc-h23", {
    timeZone: zone,
    calendar: "iso8601",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(moment);
  const part = (type: Intl.DateTimeFormatPartTypes) =>
    Number(parts.find((each) => each.type === type)?.value ?? 0);
  return {
    year: part("year"),
    month: part("month"),
    day: part("day"),
    hour: part("hour"),
    minute: part("minute"),
    second: part("second"),
  };
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, "0");
}
