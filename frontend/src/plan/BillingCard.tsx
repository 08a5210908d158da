/** What was metered in the running period and what it costs, and the way to Stripe's portal. */

import { ExternalLink } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Card } from "../design/Card";
import { DataTable } from "../design/DataTable";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { wholeUnits } from "./credits";
import { type Billing, useBilling } from "./queries";
import { StripeProblem } from "./StripeProblem";
import { useStripePage } from "./stripe_pages";

export function BillingCard() {
  const { t } = useTranslation();
  const billing = useBilling();
  const portal = useStripePage();
  return (
    <Card
      title={t("plan.billing.title")}
      actions={
        billing.data?.customer_id ? (
          <Button
            aria-disabled={portal.isPending}
            onClick={() => {
              if (!portal.isPending) portal.mutate("portal");
            }}
            icon={<ExternalLink aria-hidden className="size-4 rtl:-scale-x-100" />}
          >
            {portal.isPending ? t("plan.opening") : t("plan.portal")}
          </Button>
        ) : null
      }
    >
      {portal.isError ? (
        <StripeProblem error={portal.error} page="portal" retry={() => portal.mutate("portal")} />
      ) : null}
      {billing.isError ? (
        <ProblemNotice error={billing.error} retry={() => void billing.refetch()} />
      ) : null}
      {billing.data ? (
        <Metered billing={billing.data} />
      ) : billing.isError ? null : (
        <Skeleton className="h-40" />
      )}
    </Card>
  );
}

const STATUSES = [
  "trialing",
  "active",
  "past_due",
  "unpaid",
  "paused",
  "canceled",
  "incomplete",
  "incomplete_expired",
] as const;

function Metered({ billing }: { billing: Billing }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const status = STATUSES.find((each) => each === billing.subscription_status);
  const pending = billing.meters.filter((meter) => meter.pending_units > 0);
  return (
    <>
      <p className="text-soft text-sm">
        {status
          ? t(`plan.billing.status.${status}`)
          : (billing.subscription_status ?? t("plan.billing.noSubscription"))}
      </p>
      <p className="text-soft text-sm">
        {t("plan.billing.period", {
          start: formats.dateTime(billing.period_start),
          // The end belongs to the next period.
          end: formats.dateTime(new Date(Date.parse(billing.period_end) - 1)),
        })}
      </p>
      {status === "past_due" || status === "unpaid" ? (
        <Notice kind="warning" title={t("plan.billing.failedPayment")}>
          {t("plan.billing.failedPaymentDetail")}
        </Notice>
      ) : null}
      {billing.meters.length === 0 ? (
        <p className="text-soft">{t("plan.billing.noMeters")}</p>
      ) : (
        <DataTable
          caption={t("plan.billing.table")}
          rows={billing.meters}
          rowKey={(meter) => meter.meter}
          columns={[
            {
              title: t("plan.billing.meter"),
              cell: (meter) => (
                <>
                  <bdi>{meter.title}</bdi>
                  <span className="block text-soft">
                    {t("plan.billing.each", {
                      price: formats.money(wholeUnits(meter.unit_amount), billing.currency),
                    })}
                  </span>
                </>
              ),
            },
            {
              title: t("plan.billing.units"),
              number: true,
              cell: (meter) => formats.count(meter.units),
            },
            {
              title: t("plan.billing.amount"),
              number: true,
              cell: (meter) => formats.money(meter.amount, billing.currency),
            },
          ]}
        />
      )}
      <p className="flex flex-wrap justify-between gap-x-3 font-semibold">
        <span>{t("plan.billing.total")}</span>
        <span className="tabular-nums">{formats.money(billing.amount, billing.currency)}</span>
      </p>
      {pending.length > 0 ? (
        <Notice kind="note" title={t("plan.billing.pending")}>
          <ul>
            {pending.map((meter) => (
              <li key={meter.meter}>
                {t("plan.billing.pendingUnits", {
                  count: meter.pending_units,
                  meter: meter.title,
                })}
              </li>
            ))}
          </ul>
        </Notice>
      ) : null}
      <p className="text-soft text-sm">{t("plan.billing.notIncluded")}</p>
    </>
  );
}
