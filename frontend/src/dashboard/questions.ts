/** The dashboard's questions to the API. All begin with the same key: new events make all old. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { answerOf, client } from "../api/client";
import type { Period } from "./periods";
import type { Bots, Dimension, View } from "./view";

export const ANALYTICS = "analytics";

/** Asked again without new events too: late ones may have come by other ways. */
const AGAIN_MS = 60_000;

interface Narrowed {
  from: string;
  to: string;
  bots: Bots;
}

export function narrowedBy(view: View, period: Period): Narrowed & View["where"] {
  return { from: period.from, to: period.to, bots: view.bots, ...view.where };
}

export function useTotals(view: View, period: Period) {
  const query = narrowedBy(view, period);
  return useQuery({
    queryKey: [ANALYTICS, "totals", query],
    queryFn: ({ signal }) =>
      answerOf(client.GET("/analytics/totals", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: AGAIN_MS,
  });
}

/** How many events of bots the view leaves out; asked only where it does. */
export function useBots(view: View, period: Period) {
  const query = { ...narrowedBy(view, period), bots: "only" as const };
  return useQuery({
    queryKey: [ANALYTICS, "bots", query],
    queryFn: ({ signal }) =>
      answerOf(client.GET("/analytics/totals", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    enabled: view.bots === "exclude",
  });
}

export function useTraffic(view: View, period: Period) {
  const query = {
    ...narrowedBy(view, period),
    interval: period.interval,
    timezone: view.timeZone,
  };
  return useQuery({
    queryKey: [ANALYTICS, "traffic", query],
    queryFn: async ({ signal }) => {
      const ask = (event_type: string) =>
        answerOf(
          client.GET("/analytics/timeseries", {
            params: { query: { ...query, event_type } },
            signal,
          }),
        );
      const [views, conversions] = await Promise.all([ask("page_view"), ask("conversion")]);
      return { views, conversions };
    },
    placeholderData: keepPreviousData,
    refetchInterval: AGAIN_MS,
  });
}

export type EventType = "page_view" | "conversion";

const VALUES = 100;

export function useBreakdown(
  view: View,
  period: Period,
  by: Dimension | "event_type",
  event_type: EventType | null,
) {
  const query = {
    ...narrowedBy(view, period),
    by,
    ...(event_type === null ? {} : { event_type }),
    limit: VALUES,
  };
  return useQuery({
    queryKey: [ANALYTICS, "breakdown", query],
    queryFn: ({ signal }) =>
      answerOf(client.GET("/analytics/breakdown", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: AGAIN_MS,
  });
}

/** Whether there has ever been an event. */
export function useAnyEvent() {
  return useQuery({
    queryKey: [ANALYTICS, "any"],
    queryFn: async ({ signal }) => {
      const query = { limit: 1 };
      const page = await answerOf(client.GET("/analytics/events", { params: { query }, signal }));
      return page.items.length > 0;
    },
    // Once there was one, there always was.
    staleTime: (query) => (query.state.data === true ? Number.POSITIVE_INFINITY : 0),
  });
}

/** The address of the same question, for saving its answer as CSV. */
export function addressOf(path: string, query: Record<string, string | number>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) params.set(name, String(value));
  return `${path}?${params}`;
}
