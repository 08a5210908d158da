/** What a time series chart draws, from what the API answers. */

import { csvOf } from "./csv";

export interface Point {
  start: string;
  count: number;
  visitors: number;
}

export interface TrafficSeries {
  /** Seconds since 1970 at which each step begins, ascending. */
  starts: number[];
  views: number[];
  visitors: number[];
  conversions: number[];
}

/**
 * Both series on one axis of time; a step that one of them lacks counts 0 there. `from`: where the
 * period begins, in seconds; of a step that began before only what follows was counted.
 */
export function trafficOf(
  views: readonly Point[],
  conversions: readonly Point[],
  from = Number.NEGATIVE_INFINITY,
): TrafficSeries {
  const byStart = new Map<number, { views: number; visitors: number; conversions: number }>();
  const at = (point: Point) => {
    const start = Math.max(Date.parse(point.start) / 1000, from);
    const found = byStart.get(start) ?? { views: 0, visitors: 0, conversions: 0 };
    byStart.set(start, found);
    return found;
  };
  for (const point of views) {
    const step = at(point);
    step.views = point.count;
    step.visitors = point.visitors;
  }
  for (const point of conversions) at(point).conversions = point.count;
  const starts = [...byStart.keys()].sort((one, other) => one - other);
  const column = (name: "views" | "visitors" | "conversions") =>
    starts.map((start) => byStart.get(start)?.[name] ?? 0);
  return {
    starts,
    views: column("views"),
    visitors: column("visitors"),
    conversions: column("conversions"),
  };
}

/** The series as a file. `written`: a step's begin, given in seconds since 1970. */
export function trafficCsv(series: TrafficSeries, written: (start: number) => string): Blob {
  return csvOf(
    ["start", "views", "visitors", "conversions"],
    series.starts.map((start, index) => [
      written(start),
      series.views[index] ?? 0,
      series.visitors[index] ?? 0,
      series.conversions[index] ?? 0,
    ]),
  );
}
