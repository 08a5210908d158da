/** What time it is at the API: browsers' clocks may be wrong, and its answers count by its own. */

/** A `Date` header is cut to the second, and an answer takes a moment. */
const UNNOTICED_MS = 5000;

let ahead = 0;

/** Learns from an answer how far the browser's clock is off. */
export function heedClock(response: Response): void {
  // Others may come from the browser's cache, with the time at which they were put there.
  if (response.url !== "" && !new URL(response.url).pathname.startsWith("/analytics/")) return;
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(date)) return;
  const difference = date - Date.now();
  ahead = Math.abs(difference) > UNNOTICED_MS ? difference : 0;
}

export function serverNow(): Date {
  return new Date(Date.now() + ahead);
}
