import { expect, test } from "vitest";
import { panned, zoomed } from "./window";

const WHOLE = { min: 0, max: 100 };

test("panning moves by a part of what is seen", () => {
  expect(panned({ min: 40, max: 60 }, WHOLE, 0.5)).toEqual({ min: 50, max: 70 });
});

test("panning ends at the ends, with as much in sight", () => {
  expect(panned({ min: 70, max: 90 }, WHOLE, 5)).toEqual({ min: 80, max: 100 });
  expect(panned({ min: 10, max: 30 }, WHOLE, -5)).toEqual({ min: 0, max: 20 });
});

test("zooming keeps the place under the pointer", () => {
  expect(zoomed({ min: 0, max: 100 }, WHOLE, 0.5, 0.25, 1)).toEqual({ min: 12.5, max: 62.5 });
});

test("zooming shows no less than the shortest, and no more than all", () => {
  expect(zoomed({ min: 40, max: 50 }, WHOLE, 0.1, 0.5, 8)).toEqual({ min: 41, max: 49 });
  expect(zoomed({ min: 40, max: 60 }, WHOLE, 50, 0.5, 8)).toEqual(WHOLE);
});
