import { expect, test, vi } from "vitest";
import { pause } from "./server_events";

test("a pause that is over leaves nothing behind at the signal", async () => {
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  await pause(1, signal);
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
    added.mock.calls.map(([, listener]) => listener),
  );
  expect(added).toHaveBeenCalledOnce();
});

test("a pause ends with the signal, also with one that was given before", async () => {
  const stop = new AbortController();
  const ended = pause(3_600_000, stop.signal);
  stop.abort();
  await ended;
  await pause(3_600_000, stop.signal);
});
