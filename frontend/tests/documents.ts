/** Documents of the API as it answers them, to be changed where a test needs another one. */

import type { Schemas } from "../src/api/client";

const PERIOD = {
  period_start: "2026-11-01T12:00:00.000Z",
  resets_at: "2026-12-01T12:00:00.000Z",
};

export function planDocument(remaining: number, limit = 100): Schemas["PlanDocument"] {
  return { plan: "free", quota_used: limit - remaining, limit, remaining, ...PERIOD };
}

export const CATALOGUE: Schemas["PlanCatalogue"] = {
  version: 1,
  default: "free",
  currency: "usd",
  plans: [
    { name: "free", title: "Starter", limit: 100, price: null, unlocks: ["instagram"] },
    {
      name: "pro",
      title: "Pro",
      limit: 1000,
      price: "19.00",
      unlocks: ["linkedin", "variants", "carrier_pigeon"],
    },
  ],
};

export function usageItem(
  number: number,
  more: Partial<Schemas["UsageItem"]> = {},
): Schemas["UsageItem"] {
  return {
    id: `0000000${number}-0000-0000-0000-000000000000`,
    kind: "spend",
    reason: `post ${number}`,
    credits: -1,
    quota_used: number,
    limit: 100,
    remaining: 100 - number,
    plan: "free",
    ...PERIOD,
    at: `2026-11-0${number}T12:00:00.000Z`,
    command_id: "3cbc2ac4-2dd6-5e37-a8f5-1d7d4a6f0c9e",
    spend_id: null,
    ...more,
  };
}

/** One that was just taken. */
export function postDocument(more: Partial<Schemas["PostDocument"]> = {}): Schemas["PostDocument"] {
  return {
    id: "0b9c3d1e-8a4f-5b6c-9d7e-1f2a3b4c5d6e",
    state: "queued",
    caption: null,
    image_url: null,
    variants: [],
    prompt: "A new espresso",
    platform: "instagram",
    tone: "friendly",
    language: "en",
    stub: false,
    reason: null,
    detail: null,
    credits_charged: null,
    credits_refunded: null,
    requested_at: "2026-11-24T09:30:00.000Z",
    finished_at: null,
    ...more,
  };
}

export function totalsDocument(count: number): Schemas["Totals"] {
  const measure = (value: number | null) => ({ value, previous: null, change: null });
  return {
    from: "2026-11-20T23:00:00Z",
    to: "2026-11-27T12:00:00Z",
    count: measure(count),
    visitors: measure(count),
    page_views: measure(count),
    conversions: measure(0),
    conversion_rate: measure(null),
  };
}
