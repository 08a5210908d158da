/** The plan: which there are, what is used of one's own, and what it costs. */

import { useTranslation } from "react-i18next";
import { useTitle } from "../app/title";
import { Card } from "../design/Card";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { BillingCard } from "./BillingCard";
import { CheckoutNotice } from "./CheckoutNotice";
import { CreditsUsed } from "./CreditsUsed";
import { Ledger } from "./Ledger";
import { PlanCards } from "./PlanCards";
import { useMyPlan } from "./queries";

export function PlanPage() {
  const { t } = useTranslation();
  useTitle(t("plan.title"));
  const mine = useMyPlan();
  return (
    <div className="flex flex-col gap-5">
      <h1 className="font-semibold text-2xl">{t("plan.title")}</h1>
      <CheckoutNotice />
      <Card title={t("plan.usage")}>
        {mine.isError ? (
          <ProblemNotice error={mine.error} retry={() => void mine.refetch()} />
        ) : null}
        {mine.data ? (
          <CreditsUsed plan={mine.data} />
        ) : mine.isError ? null : (
          <Skeleton className="h-18" />
        )}
      </Card>
      <section aria-labelledby="plans" className="flex flex-col gap-3">
        <h2 id="plans" className="font-semibold text-base">
          {t("plan.plans")}
        </h2>
        <PlanCards />
      </section>
      <div className="grid items-start gap-5 lg:grid-cols-2">
        <BillingCard />
        <Ledger />
      </div>
    </div>
  );
}
