/** The way to Stripe's own pages: where one subscribes, and where one manages what one pays. */

import { useMutation } from "@tanstack/react-query";
import { answerOf, client } from "../api/client";

export type StripePage = { plan: string } | "portal";

/** Of a subscription that keeps its plan (PAYING in schemas/billing.py). */
const PAYING = new Set(["trialing", "active", "past_due"]);

export function subscribes(status: string | null | undefined): boolean {
  return status !== null && status !== undefined && PAYING.has(status);
}

/** Opens a page of Stripe's in the place of this one. */
export function useStripePage() {
  return useMutation({
    mutationFn: (page: StripePage) =>
      answerOf(
        page === "portal"
          ? client.POST("/api/user/billing/portal")
          : client.POST("/api/user/billing/checkout", { body: { plan: page.plan } }),
      ),
    onSuccess: ({ url }) => window.location.assign(url),
  });
}
