/** Asks questions again when there is news: as often as answers allow, never side by side. */

import type { QueryClient, QueryKey } from "@tanstack/react-query";
import { BREAKDOWNS, NUMBERS } from "./questions";

const NUMBERS_MS = 1000;
const BREAKDOWNS_MS = 5000;

/** Returns what to call when something is new; ends with the signal. */
export function refreshing(queries: QueryClient, signal: AbortSignal): () => void {
  const askers = [
    asking(queries, NUMBERS, NUMBERS_MS, signal),
    asking(queries, BREAKDOWNS, BREAKDOWNS_MS, signal),
  ];
  return () => {
    for (const ask of askers) ask();
  };
}

function asking(queries: QueryClient, queryKey: QueryKey, pause: number, signal: AbortSignal) {
  let wanted = false;
  let busy = false;
  const run = async () => {
    busy = true;
    while (wanted && !signal.aborted) {
      wanted = false;
      // An answer that is slower than news is waited for, or there would never be one.
      await queries.invalidateQueries({ queryKey }, { cancelRefetch: false });
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    busy = false;
  };
  return () => {
    wanted = true;
    if (!busy) void run();
  };
}
