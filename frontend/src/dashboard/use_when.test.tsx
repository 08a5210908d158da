import { useQuery } from "@tanstack/react-query";
import { act, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { renderInEnglish } from "../../tests/translated";
import { AnswersNotice } from "./AnswersNotice";
import { LiveCard } from "./LiveCard";
import { ANALYTICS } from "./questions";
import type { StoredEvent } from "./use_live_events";
import { readView } from "./view";

const BERLIN = "Europe/Berlin";
const HOUR_MS = 3_600_000;

beforeEach(() => {
  // A quarter of an hour before midnight in Berlin; in New York it is afternoon.
  vi.useFakeTimers({ now: new Date("2026-11-27T22:45:00Z") });
});
afterEach(() => vi.useRealTimers());

function times(zone: string): (string | undefined)[] {
  const received = ["2026-11-27T22:40:00Z", "2026-11-26T23:00:00Z", "2026-11-26T22:59:00Z"];
  const events = received.map(
    (received_at) =>
      ({ event_id: received_at, event_type: "own", path: "/a", received_at }) as StoredEvent,
  );
  for (const event of events)
    Object.assign(event, { bot: false, referrer: "", country: "", browser: "" });
  renderInEnglish(
    <LiveCard
      live={{ events, state: "live", skipped: 0 }}
      view={readView(new URLSearchParams(), zone)}
    />,
  );
  return shownTimes();
}

function shownTimes() {
  return screen.getAllByRole("time").map((each) => each.textContent?.replaceAll(/\s/g, " "));
}

test("an event of another day in the view's zone says which day", () => {
  expect(times(BERLIN)).toEqual(["11:40:00 PM", "12:00:00 AM", "Nov 26, 2026, 11:59 PM"]);
});

test("which day it is the view's zone says", () => {
  expect(times("America/New_York")).toEqual([
    "5:40:00 PM",
    "Nov 26, 2026, 6:00 PM",
    "Nov 26, 2026, 5:59 PM",
  ]);
});

test("at midnight what was of the day says which one it was, though nothing new comes", () => {
  times(BERLIN);
  act(() => vi.advanceTimersByTime(HOUR_MS));
  expect(shownTimes()).toEqual([
    "Nov 27, 2026, 11:40 PM",
    "Nov 27, 2026, 12:00 AM",
    "Nov 26, 2026, 11:59 PM",
  ]);
});

function Old({ at }: { at: string }) {
  useQuery({
    queryKey: [ANALYTICS, "old"],
    queryFn: () => Promise.reject(new Error("away")),
    initialData: 1,
    initialDataUpdatedAt: Date.parse(at),
  });
  return <AnswersNotice timeZone={BERLIN} />;
}

test.each([
  ["2026-11-27T22:00:00Z", /this is from 11:00:00\sPM$/],
  ["2026-11-24T09:00:00Z", /this is from Nov 24, 2026, 10:00\sAM$/],
])("what still is seen of %s says from when it is", async (at, said) => {
  renderInEnglish(<Old at={at} />);
  await act(() => vi.advanceTimersByTimeAsync(100));
  expect(screen.getByText(said)).toBeInTheDocument();
});
