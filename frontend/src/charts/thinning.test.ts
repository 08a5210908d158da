import { expect, test } from "vitest";
import { extremesOf } from "./thinning";

const WHOLE = { min: 0, max: 100, columns: 4 };

test("each column has the least and the greatest of its values: no peak is lost", () => {
  const starts = Array.from({ length: 101 }, (_, index) => index);
  const values = starts.map((start) => (start === 37 ? 900 : start === 38 ? -5 : 10));
  expect(extremesOf(starts, values, 0, 100, WHOLE)).toEqual({
    column: [0, 1, 2, 3],
    least: [10, -5, 10, 10],
    greatest: [10, 900, 10, 10],
  });
});

test("columns without values are left out, and only what is asked for is read", () => {
  expect(extremesOf([0, 10, 80, 90], [1, 2, 3, 4], 1, 2, WHOLE)).toEqual({
    column: [0, 3],
    least: [2, 3],
    greatest: [2, 3],
  });
});

test("what lies beyond is in the columns at the ends", () => {
  expect(extremesOf([-50, 0, 100, 170], [7, 1, 2, 9], 0, 3, WHOLE)).toEqual({
    column: [0, 3],
    least: [1, 2],
    greatest: [7, 9],
  });
});
