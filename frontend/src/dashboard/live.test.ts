import { expect, test } from "vitest";
import { failureOf, staleSince } from "./AnswersNotice";
import { after, type Live, type StoredEvent } from "./use_live_events";

const NOTHING: Live = { events: [], state: "live", skipped: 0 };
const event = (id: string) => ({
  name: "event",
  data: { event_id: id, received_at: "2026-11-27T03:20:00Z" } as StoredEvent,
});

test("the newest is first, and one that is told twice is there once", () => {
  const live = [event("a"), event("b"), event("a")].reduce(after, NOTHING);
  expect(live.events.map((each) => each.event_id)).toEqual(["b", "a"]);
});

test("a list that goes on for ever keeps the newest fifty", () => {
  let live = NOTHING;
  for (let number = 0; number < 200; number += 1) live = after(live, event(String(number)));
  expect(live.events).toHaveLength(50);
  expect(live.events[0]?.event_id).toBe("199");
});

test("what was too fast is counted, and a store that is away is said", () => {
  let live = after(NOTHING, { name: "skipped", data: { count: 12 } });
  live = after(live, { name: "skipped", data: { count: 3 } });
  expect(live.skipped).toBe(15);
  expect(after(live, { name: "stale", data: {} }).state).toBe("stale");
  expect(after(after(live, { name: "stale", data: {} }), { name: "fresh", data: {} }).state).toBe(
    "live",
  );
});

test("what is seen is old since the oldest answer that could not be asked for again", () => {
  const asked = (updated: number, failed: number, data: unknown) => ({
    state: { dataUpdatedAt: updated, errorUpdatedAt: failed, error: null, data },
  });
  expect(staleSince([asked(10, 0, 1), asked(20, 5, 1)])).toBeNull();
  expect(staleSince([asked(10, 30, 1), asked(8, 31, 1), asked(50, 40, 1)])).toBe(8);
  expect(staleSince([asked(0, 30, undefined)])).toBeNull();
});

test("what was never answered says why, once", () => {
  const failed = (data: unknown) => ({
    state: { dataUpdatedAt: 0, errorUpdatedAt: 5, error: new Error("away"), data },
  });
  expect(failureOf([failed(1)])).toBeNull();
  expect(failureOf([failed(1), failed(undefined)])).toEqual(new Error("away"));
});
