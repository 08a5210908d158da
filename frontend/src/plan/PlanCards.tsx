/** The plans there are, with what each is made for, and the way to another. */

import { clsx } from "clsx";
import { Check, ExternalLink } from "lucide-react";
import { type ReactNode, useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { PLATFORMS } from "../social/platforms";
import { type PlanEntry, useBilling, useCatalogue, useMyPlan } from "./queries";
import { StripeProblem } from "./StripeProblem";
import { subscribes, useStripePage } from "./stripe_pages";

const GRID = "grid gap-4 sm:grid-cols-2 lg:grid-cols-3";

export function PlanCards() {
  const catalogue = useCatalogue();
  const mine = useMyPlan();
  const billing = useBilling();
  const page = useStripePage();
  const [chosen, setChosen] = useState<string | null>(null);
  if (catalogue.data === undefined) {
    return catalogue.isError ? (
      <ProblemNotice error={catalogue.error} retry={() => void catalogue.refetch()} />
    ) : (
      <div className={GRID}>
        <Skeleton className="h-72 rounded-card" />
        <Skeleton className="h-72 rounded-card" />
        <Skeleton className="h-72 rounded-card" />
      </div>
    );
  }
  const subscribed = subscribes(billing.data?.subscription_status);
  return (
    <ul className={GRID}>
      {catalogue.data.plans.map((plan) => {
        // Who pays already changes the plan at Stripe: a second checkout would cost twice.
        const choose = () => {
          setChosen(plan.name);
          page.mutate(subscribed ? "portal" : { plan: plan.name });
        };
        return (
          <PlanCard
            key={plan.name}
            plan={plan}
            currency={catalogue.data.currency}
            current={plan.name === mine.data?.plan}
            subscribed={subscribed}
            opening={page.isPending ? chosen : null}
            choose={choose}
          >
            {page.isError && chosen === plan.name ? (
              <StripeProblem error={page.error} page={page.variables} retry={choose} />
            ) : null}
          </PlanCard>
        );
      })}
    </ul>
  );
}

interface CardProps {
  plan: PlanEntry;
  currency: string;
  current: boolean;
  subscribed: boolean;
  /** The plan for which a page of Stripe's is being opened. */
  opening: string | null;
  choose: () => void;
  children: ReactNode;
}

function PlanCard({ plan, currency, current, subscribed, opening, choose, children }: CardProps) {
  const { t } = useTranslation();
  const formats = useFormats();
  const madeFor = useId();
  return (
    <li
      className={clsx(
        "flex min-w-0 flex-col gap-3 rounded-card border bg-surface p-4 sm:p-5",
        current ? "border-accent ring-1 ring-accent" : "border-line",
      )}
    >
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h3 className="break-words font-semibold text-lg">{plan.title}</h3>
        {current ? (
          <span className="inline-flex items-center gap-1 rounded-full bg-accent-faint px-2.5 py-0.5 text-sm">
            <Check aria-hidden className="size-4" />
            {t("plan.current")}
          </span>
        ) : null}
      </div>
      <p className="flex flex-wrap items-baseline gap-x-1.5">
        <span className="font-semibold text-2xl tabular-nums">
          {plan.price === null ? t("plan.free") : formats.money(plan.price, currency)}
        </span>
        {plan.price === null ? null : <span className="text-soft">{t("plan.aMonth")}</span>}
      </p>
      <p className="font-medium">{t("plan.creditsAMonth", { count: plan.limit })}</p>
      {plan.unlocks.length > 0 ? (
        <p id={madeFor} className="text-soft text-sm">
          {t("plan.madeForTitle", { plan: plan.title })}
        </p>
      ) : null}
      <ul aria-labelledby={madeFor} className="flex flex-col gap-1">
        {plan.unlocks.map((feature) => (
          <li key={feature} className="flex items-start gap-2 text-sm">
            <Check aria-hidden className="mt-0.5 size-4 shrink-0 text-good" />
            <span className="min-w-0 break-words">
              <Feature name={feature} />
            </span>
          </li>
        ))}
      </ul>
      {current || plan.price === null ? null : (
        <Button
          kind={subscribed ? "secondary" : "primary"}
          className="mt-auto"
          aria-disabled={opening !== null}
          aria-label={t(subscribed ? "plan.changeTo" : "plan.subscribeTo", { plan: plan.title })}
          onClick={() => {
            if (opening === null) choose();
          }}
          icon={<ExternalLink aria-hidden className="size-4 rtl:-scale-x-100" />}
        >
          {opening === plan.name
            ? t("plan.opening")
            : t(subscribed ? "plan.change" : "plan.subscribe")}
        </Button>
      )}
      {children}
    </li>
  );
}

const OWN_WORDS = ["variants", "languages", "export"] as const;

/** What a plan is made for; a name that an operator thought of is shown as it is. */
function Feature({ name }: { name: string }) {
  const { t } = useTranslation();
  const own = OWN_WORDS.find((each) => each === name);
  if (own !== undefined) return t(`plan.madeFor.${own}`);
  if (name in PLATFORMS) {
    const { title } = PLATFORMS[name as keyof typeof PLATFORMS];
    return t("plan.madeFor.platform", { platform: title });
  }
  return <bdi>{name}</bdi>;
}
