import { expect, test } from "vitest";
import { readView, type View, writeView } from "./view";

const ZONE = "Europe/Berlin";
const read = (query: string) => readView(new URLSearchParams(query), ZONE);

test("an address without anything shows the last week of people, in the browser's zone", () => {
  expect(read("")).toEqual({
    range: "7d",
    first: "",
    last: "",
    interval: null,
    timeZone: ZONE,
    bots: "exclude",
    where: {},
  });
  expect(writeView(read(""), ZONE).toString()).toBe("");
});

test("what is written is read again as it was", () => {
  const view: View = {
    range: "custom",
    first: "2026-10-01",
    last: "2026-10-31",
    interval: "day",
    timeZone: "UTC",
    bots: "include",
    where: { path: "/a b?c=<script>&d", referrer: "", country: "DE" },
  };
  expect(readView(writeView(view, ZONE), ZONE)).toEqual(view);
});

test("who is sent an address is shown the same in another zone", () => {
  const view = read("range=30d&country=DE");
  expect(view.timeZone).toBe(ZONE);
  expect(readView(writeView(view, ZONE), "America/New_York")).toEqual(view);
});

test("what cannot be read is as it is at first", () => {
  const view = read("range=1y&interval=second&timezone=Mars/Olympus&bots=maybe&first=x");
  expect(view).toEqual(read(""));
});

test("what the API would refuse is not asked", () => {
  expect(read(`path=&country=${"x".repeat(257)}&referrer=`).where).toEqual({ referrer: "" });
  expect(read("range=custom&first=2026-02-30&last=2026-03-01").range).toBe("7d");
});

test("days of a range must both be there, and in their order", () => {
  for (const query of ["", "&first=2026-10-02", "&first=2026-10-02&last=2026-10-01"]) {
    expect(read(`range=custom${query}`).range).toBe("7d");
  }
  expect(read("range=custom&first=2026-10-01&last=2026-10-01").range).toBe("custom");
});
