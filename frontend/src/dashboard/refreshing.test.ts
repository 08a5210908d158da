import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BREAKDOWNS, NUMBERS } from "./questions";
import { refreshing } from "./refreshing";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function counting(answerAfter: number) {
  const queries = new QueryClient();
  const asked = { numbers: 0, breakdowns: 0 };
  vi.spyOn(queries, "invalidateQueries").mockImplementation(async (filters) => {
    const key = filters?.queryKey;
    if (key === NUMBERS) asked.numbers += 1;
    if (key === BREAKDOWNS) asked.breakdowns += 1;
    await new Promise((resolve) => setTimeout(resolve, answerAfter));
  });
  return { queries, asked };
}

test("many events ask for numbers once a second, and for breakdowns once in five", async () => {
  const { queries, asked } = counting(10);
  const news = refreshing(queries, new AbortController().signal);
  for (let tick = 0; tick < 1000; tick += 1) {
    news();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(asked.numbers).toBeGreaterThanOrEqual(9);
  expect(asked.numbers).toBeLessThanOrEqual(11);
  expect(asked.breakdowns).toBe(2);
});

test("answers that are slow are waited for, and what came meanwhile is asked for afterwards", async () => {
  const { queries, asked } = counting(3000);
  const news = refreshing(queries, new AbortController().signal);
  news();
  await vi.advanceTimersByTimeAsync(1500);
  news();
  expect(asked.numbers).toBe(1);
  await vi.advanceTimersByTimeAsync(3000);
  expect(asked.numbers).toBe(2);
  expect(queries.invalidateQueries).toHaveBeenCalledWith(
    { queryKey: NUMBERS },
    { cancelRefetch: false },
  );
});

test("the first event is asked for at once, and nothing after the end", async () => {
  const { queries, asked } = counting(10);
  const ending = new AbortController();
  const news = refreshing(queries, ending.signal);
  news();
  expect(asked.numbers).toBe(1);
  news();
  ending.abort();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked.numbers).toBe(1);
});
