import { expect, test } from "vitest";
import { type Measure, tilesOf } from "./tiles";

const measure = (
  value: number | null,
  previous: number | null,
  change: number | null,
): Measure => ({
  value,
  previous,
  change,
});

test("each number says which way it went, and that nothing is known where it is not", () => {
  const tiles = tilesOf({
    page_views: measure(12, 10, 0.2),
    visitors: measure(5, 10, -0.5),
    conversions: measure(3, 3, 0),
    conversion_rate: measure(0.25, null, null),
  });
  expect(tiles.map((tile) => [tile.name, tile.kind, tile.direction])).toEqual([
    ["views", "count", "up"],
    ["visitors", "count", "down"],
    ["conversions", "count", "same"],
    ["conversionRate", "share", "unknown"],
  ]);
  expect(tiles[0]).toMatchObject({ value: 12, previous: 10, change: 0.2 });
});
