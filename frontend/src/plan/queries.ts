/** The pages' questions about the plan. All begin with the same key: a change makes all old. */

import { type QueryClient, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { answerOf, client, type Schemas } from "../api/client";

export type Plan = Schemas["PlanDocument"];
export type PlanCatalogue = Schemas["PlanCatalogue"];
export type PlanEntry = Schemas["PlanEntry"];
export type UsageItem = Schemas["UsageItem"];
export type Billing = Schemas["BillingDocument"];

const PLAN = "plan";
export const PLAN_KEYS = {
  all: [PLAN],
  mine: [PLAN, "mine"],
  catalogue: [PLAN, "catalogue"],
  usage: [PLAN, "usage"],
  billing: [PLAN, "billing"],
} as const;

/** Credits may be spent elsewhere too. */
const AGAIN_MS = 30_000;
const PAGE = 20;
const LATEST = 5;

/** Where the user stands: exact when it is answered. */
export function useMyPlan() {
  return useQuery({
    queryKey: PLAN_KEYS.mine,
    queryFn: ({ signal }) => answerOf(client.GET("/api/user/plan", { signal })),
    refetchInterval: AGAIN_MS,
    refetchOnWindowFocus: "always",
  });
}

export function useCatalogue() {
  return useQuery({
    queryKey: PLAN_KEYS.catalogue,
    queryFn: ({ signal }) => answerOf(client.GET("/api/plans", { signal })),
    // The answer may be kept for a minute, too.
    staleTime: 60_000,
  });
}

export function useLatestUsage() {
  return useQuery({
    queryKey: [...PLAN_KEYS.usage, "latest"],
    queryFn: ({ signal }) => usagePage(LATEST, null, signal),
    staleTime: 0,
  });
}

export function useUsage() {
  return useInfiniteQuery({
    queryKey: [...PLAN_KEYS.usage, "pages"],
    queryFn: ({ pageParam, signal }) => usagePage(PAGE, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
}

export function useBilling() {
  return useQuery({
    queryKey: PLAN_KEYS.billing,
    queryFn: ({ signal }) => answerOf(client.GET("/api/user/billing", { signal })),
  });
}

/** After credits were taken or given back. The ledger is some hundred milliseconds behind. */
export async function creditsChanged(queries: QueryClient): Promise<void> {
  await Promise.all([
    queries.invalidateQueries({ queryKey: PLAN_KEYS.mine }),
    queries.invalidateQueries({ queryKey: PLAN_KEYS.usage }),
  ]);
}

async function usagePage(
  limit: number,
  cursor: string | null,
  signal: AbortSignal,
): Promise<Schemas["UsagePage"]> {
  const query = { limit, ...(cursor === null ? {} : { cursor }) };
  const page = await answerOf(client.GET("/api/user/usage", { params: { query }, signal }));
  return page;
}
