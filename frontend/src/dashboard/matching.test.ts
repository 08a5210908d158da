import { expect, test } from "vitest";
import { isOf } from "./matching";
import type { StoredEvent } from "./use_live_events";

const EVENT = { path: "/a", country: "DE", source: null, referrer: "", bot: false } as StoredEvent;

test("an event is of a view when it has all that the view is narrowed to", () => {
  expect(isOf(EVENT, { bots: "exclude", where: {} })).toBe(true);
  expect(isOf(EVENT, { bots: "exclude", where: { path: "/a", country: "DE" } })).toBe(true);
  expect(isOf(EVENT, { bots: "exclude", where: { path: "/a", country: "FR" } })).toBe(false);
});

test("who asks for events without a value gets those", () => {
  expect(isOf(EVENT, { bots: "exclude", where: { source: "", referrer: "" } })).toBe(true);
  expect(isOf(EVENT, { bots: "exclude", where: { country: "" } })).toBe(false);
});

test("bots are apart here too", () => {
  const bot = { ...EVENT, bot: true };
  expect([
    isOf(bot, { bots: "exclude", where: {} }),
    isOf(bot, { bots: "only", where: {} }),
  ]).toEqual([false, true]);
  expect(isOf(EVENT, { bots: "only", where: {} })).toBe(false);
  expect(isOf(bot, { bots: "include", where: {} })).toBe(true);
});
