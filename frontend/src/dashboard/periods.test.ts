import { expect, test } from "vitest";
import { dayIn, periodOf, possibleIntervals, startOfDay, writtenIn } from "./periods";
import { readView } from "./view";

const ZONE = "Europe/Berlin";
const NOW = new Date("2026-11-27T03:20:31.500Z");
const period = (query: string, now = NOW) =>
  periodOf(readView(new URLSearchParams(query), ZONE), now);

test("days begin in the zone's own night, and now is within", () => {
  expect(period("range=30d")).toEqual({
    from: "2026-10-28T23:00:00.000Z",
    to: "2026-11-27T03:21:00.000Z",
    interval: "day",
  });
  expect(period("range=24h").from).toBe("2026-11-26T04:00:00.000Z");
  expect(period("range=1h")).toMatchObject({
    from: "2026-11-27T02:21:00.000Z",
    interval: "minute",
  });
});

test("a day that runs is asked for up to now, as every other range is", () => {
  expect(period("range=custom&first=2026-11-20&last=2026-11-27").to).toBe(
    "2026-11-27T03:21:00.000Z",
  );
  expect(period("range=custom&first=2026-11-28&last=2026-11-28")).toMatchObject({
    from: "2026-11-27T23:00:00.000Z",
    to: "2026-11-28T23:00:00.000Z",
  });
});

test("an hour begins where the zone's clock says so, and a year of weeks on a Monday", () => {
  const view = readView(new URLSearchParams("range=24h&timezone=Asia/Kolkata"), ZONE);
  expect(periodOf(view, NOW).from).toBe("2026-11-26T03:30:00.000Z");
  expect(period("range=12mo").from).toBe("2025-11-23T23:00:00.000Z");
});

test("a moment on the very minute is within", () => {
  expect(period("range=1h", new Date("2026-11-27T03:20:00Z")).to).toBe("2026-11-27T03:21:00.000Z");
});

test("chosen days are whole, also over a change of the clock", () => {
  expect(period("range=custom&first=2026-10-24&last=2026-10-25")).toEqual({
    from: "2026-10-23T22:00:00.000Z",
    to: "2026-10-25T23:00:00.000Z",
    interval: "hour",
  });
});

test("a day that begins at one o'clock begins there", () => {
  // Clocks went from 24:00 to 01:00.
  expect(startOfDay(new Date("2018-11-04T12:00:00Z"), "America/Sao_Paulo").toISOString()).toBe(
    "2018-11-04T03:00:00.000Z",
  );
});

test("a date is the zone's, not the browser's", () => {
  expect(dayIn(new Date("2026-11-27T23:30:00Z"), "Asia/Tokyo")).toBe("2026-11-28");
  expect(dayIn(new Date("2026-11-27T23:30:00Z"), "UTC")).toBe("2026-11-27");
});

test("an interval that the API would refuse is taken for one that it answers", () => {
  expect(period("range=12mo&interval=minute").interval).toBe("week" satisfies string);
  expect(period("range=24h&interval=minute").interval).toBe("minute");
  expect(possibleIntervals(period("range=12mo"))).toEqual(["day", "week", "month"]);
});

test("a moment is written on the zone's clock with its offset", () => {
  expect(writtenIn(NOW, ZONE)).toBe("2026-11-27T04:20:31+01:00");
  expect(writtenIn(NOW, "America/St_Johns")).toBe("2026-11-26T23:50:31-03:30");
  expect(writtenIn(NOW, "UTC")).toBe("2026-11-27T03:20:31Z");
});
