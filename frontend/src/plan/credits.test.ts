import { expect, test } from "vitest";
import { signedCredits, standingOf, wholeUnits } from "./credits";

test.each([
  [97, 100, "plenty"],
  [10, 100, "plenty"],
  [9, 100, "low"],
  [1, 10, "plenty"],
  [99, 1000, "low"],
  [0, 100, "none"],
  [0, 0, "none"],
  [5, 0, "plenty"],
])("%d of %d credits are %s", (remaining, limit, standing) => {
  expect(standingOf({ remaining, limit })).toBe(standing);
});

test.each([
  ["2", "0.02"],
  ["0.5", "0.005"],
  ["0.00125", "0.0000125"],
  ["150", "1.50"],
  ["12345.6", "123.456"],
  ["0", "0.00"],
  ["900719925474099312", "9007199254740993.12"],
])("%s hundredths are %s, exactly", (hundredths, whole) => {
  expect(wholeUnits(hundredths)).toBe(whole);
});

test("a change of credits has its sign", () => {
  expect(signedCredits(-3, "en")).toBe("-3");
  expect(signedCredits(1200, "en")).toBe("+1,200");
  expect(signedCredits(0, "en")).toBe("0");
});
