/**
 * The dashboard's questions to the API. A question's key is the view: it is the same question a
 * minute later, and what was answered stays in sight until it is answered again.
 */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { answerOf, client } from "../api/client";
import { serverNow } from "../api/server_clock";
import { type Period, periodOf } from "./periods";
import type { Dimension, View } from "./view";

export const ANALYTICS = "analytics";
/** Asked again with every second in which there were events. */
export const NUMBERS = [ANALYTICS, "numbers"] as const;
/** Asked again every few seconds: there are many of them. */
export const BREAKDOWNS = [ANALYTICS, "breakdowns"] as const;

/** Asked again without new events too: late ones may have come by other ways. */
const AGAIN_MS = 60_000;

/** The API's parameters for a view at this moment. */
export function narrowedBy(view: View, period: Period) {
  return { from: period.from, to: period.to, bots: view.bots, ...view.where };
}

export function periodNow(view: View): Period {
  return periodOf(view, serverNow());
}

const ANY_EVENT = ["any-event"] as const;

const KEPT = {
  // Dimmed while it is not the view's own (see Fresh).
  placeholderData: keepPreviousData,
  refetchInterval: AGAIN_MS,
} as const;

function totalsOf(view: View, signal: AbortSignal) {
  const query = narrowedBy(view, periodNow(view));
  return answerOf(client.GET("/analytics/totals", { params: { query }, signal }));
}

export function useTotals(view: View) {
  return useQuery({
    queryKey: [...NUMBERS, "totals", { ...view, interval: null }],
    queryFn: async ({ client: queries, signal }) => {
      const totals = await totalsOf(view, signal);
      // An empty view later on is no sign that there is nothing at all.
      if (totals.count.value !== 0) queries.setQueryData<boolean>(ANY_EVENT, true);
      return totals;
    },
    ...KEPT,
  });
}

/** Whether the biggest numbers are there, or cannot be: what else is asked must not hold them up. */
function useTurn(view: View): boolean {
  return useTotals(view).isFetched;
}

/** How many events of bots the view leaves out; asked only where it does. */
export function useBots(view: View) {
  const turn = useTurn(view);
  return useQuery({
    queryKey: [...BREAKDOWNS, "bots", { ...view, interval: null }],
    queryFn: ({ signal }) => totalsOf({ ...view, bots: "only" }, signal),
    ...KEPT,
    enabled: turn && view.bots === "exclude",
  });
}

export function useTraffic(view: View) {
  const turn = useTurn(view);
  return useQuery({
    queryKey: [...NUMBERS, "traffic", view],
    queryFn: async ({ signal }) => {
      const period = periodNow(view);
      // Not one question by event type: that answers the most frequent types alone.
      const ask = (event_type: string) => {
        const query = {
          ...narrowedBy(view, period),
          event_type,
          interval: period.interval,
          timezone: view.timeZone,
        };
        return answerOf(client.GET("/analytics/timeseries", { params: { query }, signal }));
      };
      const [views, conversions] = await Promise.all([ask("page_view"), ask("conversion")]);
      return { period, views: views.items, conversions: conversions.items };
    },
    ...KEPT,
    enabled: turn,
  });
}

export type EventType = "page_view" | "conversion";

/** The most that a card lists; the file that one saves has more. */
export const VALUES = 100;

export function useBreakdown(
  view: View,
  by: Dimension | "event_type",
  event_type: EventType | null,
) {
  const turn = useTurn(view);
  return useQuery({
    queryKey: [...BREAKDOWNS, by, event_type, { ...view, interval: null }],
    queryFn: ({ signal }) => {
      const query = {
        ...narrowedBy(view, periodNow(view)),
        by,
        ...(event_type === null ? {} : { event_type }),
        limit: VALUES,
      };
      return answerOf(client.GET("/analytics/breakdown", { params: { query }, signal }));
    },
    ...KEPT,
    enabled: turn,
  });
}

/** Whether there has never been an event; asked where the view has none. */
export function useNoEventEver(view: View): boolean {
  const totals = useTotals(view);
  const none = totals.data?.count.value === 0;
  const any = useQuery({
    queryKey: ANY_EVENT,
    queryFn: async ({ signal }) => {
      const query = { limit: 1 };
      const page = await answerOf(client.GET("/analytics/events", { params: { query }, signal }));
      return page.items.length > 0;
    },
    enabled: none,
    // Once there was one, there always was.
    staleTime: (query) => (query.state.data === true ? Number.POSITIVE_INFINITY : 0),
  });
  // What was answered before the first one was counted is not asked again, and does not hold.
  return none && any.data === false;
}

/** The address of a question, for saving its answer as CSV. */
export function addressOf(path: string, query: Record<string, string | number>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) params.set(name, String(value));
  return `${path}?${params}`;
}
