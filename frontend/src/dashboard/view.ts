/** What the dashboard shows, as it stands in the address: shared links and reloads show the same. */

export const RANGES = ["1h", "24h", "7d", "30d", "90d", "12mo", "custom"] as const;
export type Range = (typeof RANGES)[number];

export const INTERVALS = ["minute", "hour", "day", "week", "month"] as const;
export type Interval = (typeof INTERVALS)[number];

export const BOTS = ["exclude", "include", "only"] as const;
export type Bots = (typeof BOTS)[number];

/** What one can narrow by; the API's parameters of the same names. */
export const DIMENSIONS = [
  "path",
  "referrer",
  "country",
  "device",
  "browser",
  "os",
  "source",
  "status",
  "method",
  "route",
] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export interface View {
  range: Range;
  /** Days of a custom range, both inclusive, as YYYY-MM-DD in the view's time zone. */
  first: string;
  last: string;
  /** Null: what fits the range. */
  interval: Interval | null;
  timeZone: string;
  bots: Bots;
  where: Partial<Record<Dimension, string>>;
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Reads an address; what it does not say, or says wrongly, is as it is at first. */
export function readView(params: URLSearchParams, zone: string): View {
  const first = dayOf(params.get("first"));
  const last = dayOf(params.get("last"));
  const range = oneOf(RANGES, params.get("range")) ?? "7d";
  const where: View["where"] = {};
  for (const dimension of DIMENSIONS) {
    const value = params.get(dimension);
    if (value !== null && isAsked(dimension, value)) where[dimension] = value;
  }
  const usable = range !== "custom" || (first !== "" && last !== "" && first <= last);
  return {
    range: usable ? range : "7d",
    first: usable ? first : "",
    last: usable ? last : "",
    interval: oneOf(INTERVALS, params.get("interval")),
    timeZone: zoneOf(params.get("timezone")) ?? zone,
    bots: oneOf(BOTS, params.get("bots")) ?? "exclude",
    where,
  };
}

/**
 * Writes it back: only what differs from how it is at first. The zone stands beside anything else,
 * as who is sent the address may be in another one.
 */
export function writeView(view: View, zone: string): URLSearchParams {
  const params = new URLSearchParams();
  if (view.range !== "7d") params.set("range", view.range);
  if (view.range === "custom") {
    params.set("first", view.first);
    params.set("last", view.last);
  }
  if (view.interval !== null) params.set("interval", view.interval);
  if (view.bots !== "exclude") params.set("bots", view.bots);
  for (const dimension of DIMENSIONS) {
    const value = view.where[dimension];
    if (value !== undefined) params.set(dimension, value);
  }
  if (params.size > 0 || view.timeZone !== zone) params.set("timezone", view.timeZone);
  return params;
}

/** Whether the API takes it (api/analytics/filters.py); an empty one asks for events without. */
function isAsked(dimension: Dimension, value: string): boolean {
  if (dimension === "path") return value.length >= 1 && value.length <= 2048;
  return value.length <= (dimension === "route" ? 2048 : 256);
}

function oneOf<Value extends string>(values: readonly Value[], text: string | null): Value | null {
  return values.find((each) => each === text) ?? null;
}

function dayOf(text: string | null): string {
  return text !== null && isDay(text) ? text : "";
}

/** Whether it is a date that there is, of a year that the API answers for. */
export function isDay(text: string): boolean {
  if (!DAY.test(text) || text < "1970-01-02" || text > "2105-12-31") return false;
  const moment = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(moment.getTime()) && moment.toISOString().startsWith(text);
}

function zoneOf(text: string | null): string | null {
  if (text === null) return null;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}
