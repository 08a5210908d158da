/** What became of a checkout from which the browser just came back. */

import { useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { IconButton } from "../design/Button";
import { Notice } from "../design/Notice";
import { PLAN_KEYS, useBilling } from "./queries";
import { subscribes } from "./stripe_pages";

/** Stripe tells some seconds after the browser is back. */
const ASKED_EVERY_MS = 2000;
const ASKED = 15;

export function CheckoutNotice() {
  const { t } = useTranslation();
  const [params, setParams] = useSearchParams();
  const queries = useQueryClient();
  const billing = useBilling();
  const outcome = params.get("checkout");
  const subscribed = subscribes(billing.data?.subscription_status);
  const waits = outcome === "success" && !subscribed;
  useEffect(() => {
    if (!waits) return;
    let left = ASKED;
    const timer = setInterval(() => {
      void queries.invalidateQueries({ queryKey: PLAN_KEYS.mine });
      void queries.invalidateQueries({ queryKey: PLAN_KEYS.billing });
      left -= 1;
      if (left === 0) clearInterval(timer);
    }, ASKED_EVERY_MS);
    return () => clearInterval(timer);
  }, [waits, queries]);
  useEffect(() => {
    // The billing worker told of the subscription and of the plan; the answers may differ in age.
    if (outcome === "success" && subscribed) {
      void queries.invalidateQueries({ queryKey: PLAN_KEYS.mine });
    }
  }, [outcome, subscribed, queries]);
  if (outcome !== "success" && outcome !== "cancelled") return null;
  const words = outcome === "cancelled" ? "cancelled" : subscribed ? "confirmed" : "success";
  return (
    <Notice
      kind="note"
      title={t(`plan.checkout.${words}`)}
      action={
        <IconButton
          label={t("plan.checkout.dismiss")}
          icon={<X aria-hidden className="size-5" />}
          onClick={() => {
            setParams(
              (before) => {
                before.delete("checkout");
                return before;
              },
              { replace: true },
            );
            document.getElementById("main")?.focus({ preventScroll: true });
          }}
        />
      }
    >
      {t(`plan.checkout.${words}Detail`)}
    </Notice>
  );
}
