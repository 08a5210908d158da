/** The big numbers, from the API's totals. */

export interface Measure {
  value: number | null;
  previous: number | null;
  change: number | null;
}

export interface Totals {
  page_views: Measure;
  visitors: Measure;
  conversions: Measure;
  conversion_rate: Measure;
}

export interface Tile {
  name: "views" | "visitors" | "conversions" | "conversionRate";
  kind: "count" | "share";
  value: number | null;
  previous: number | null;
  change: number | null;
  direction: "up" | "down" | "same" | "unknown";
}

export function tilesOf(totals: Totals): Tile[] {
  return [
    tile("views", "count", totals.page_views),
    tile("visitors", "count", totals.visitors),
    tile("conversions", "count", totals.conversions),
    tile("conversionRate", "share", totals.conversion_rate),
  ];
}

function tile(name: Tile["name"], kind: Tile["kind"], { value, previous, change }: Measure): Tile {
  return { name, kind, value, previous, change, direction: directionOf(change) };
}

function directionOf(change: number | null): Tile["direction"] {
  if (change === null) return "unknown";
  if (change === 0) return "same";
  return change > 0 ? "up" : "down";
}
