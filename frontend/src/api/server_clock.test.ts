import { afterEach, expect, test, vi } from "vitest";
import { heedClock, serverNow } from "./server_clock";

const answered = (date?: string) => new Response(null, date ? { headers: { Date: date } } : {});

afterEach(() => vi.useRealTimers());

test("a clock that is minutes off is put right by an answer", () => {
  vi.useFakeTimers({ now: new Date("2026-11-27T04:10:00Z") });
  heedClock(answered("Fri, 27 Nov 2026 04:20:00 GMT"));
  expect(serverNow().toISOString()).toBe("2026-11-27T04:20:00.000Z");
  heedClock(answered());
  expect(serverNow().toISOString()).toBe("2026-11-27T04:20:00.000Z");
  heedClock(answered("Fri, 27 Nov 2026 04:09:58 GMT"));
  expect(serverNow().toISOString()).toBe("2026-11-27T04:10:00.000Z");
});
