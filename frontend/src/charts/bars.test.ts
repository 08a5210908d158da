import { expect, test } from "vitest";
import { barsOf } from "./bars";

const counted = (value: string, count: number) => ({ value, count, visitors: count });

test("the longest bar has the most, and shares are of all that was counted", () => {
  const bars = barsOf([counted("/", 30), counted("/a", 10)], 40);
  expect(bars.map((bar) => [bar.length, bar.share])).toEqual([
    [1, 0.75],
    [1 / 3, 0.25],
  ]);
});

test("shares are of a known total where more was counted than is listed", () => {
  expect(barsOf([counted("/", 30)], 120)[0]?.share).toBe(0.25);
});

test("an older total never makes more than all", () => {
  expect(barsOf([counted("/", 30), counted("/a", 10)], 20).map((bar) => bar.share)).toEqual([
    0.75, 0.25,
  ]);
});

test("nothing counted divides by nothing", () => {
  expect(barsOf([counted("/", 0)], 0)).toEqual([
    { value: "/", count: 0, visitors: 0, length: 0, share: 0 },
  ]);
  expect(barsOf([], 0)).toEqual([]);
});
