/** The plan and its credits in short, with the latest changes. */

import { Popover } from "radix-ui";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { PATHS } from "../app/paths";
import { buttonLook } from "../design/Button";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { CreditsUsed } from "./CreditsUsed";
import { signedCredits, standingOf } from "./credits";
import { type Plan, useCatalogue, useLatestUsage } from "./queries";

export function QuotaDetails({ plan }: { plan: Plan }) {
  const { t } = useTranslation();
  const catalogue = useCatalogue();
  const title = catalogue.data?.plans.find((each) => each.name === plan.plan)?.title ?? plan.plan;
  return (
    <>
      <h2 className="break-words font-semibold">{t("quota.planTitle", { plan: title })}</h2>
      <CreditsUsed plan={plan} />
      <section className="flex flex-col gap-1.5">
        <h3 className="font-medium text-sm">{t("quota.latest")}</h3>
        <Latest />
      </section>
      <Popover.Close asChild>
        <Link
          to={PATHS.plan}
          className={buttonLook(standingOf(plan) === "plenty" ? "secondary" : "primary")}
        >
          {t("quota.upgrade")}
        </Link>
      </Popover.Close>
    </>
  );
}

function Latest() {
  const { t, i18n } = useTranslation();
  const formats = useFormats();
  const usage = useLatestUsage();
  if (usage.data === undefined) {
    return usage.isError ? (
      <ProblemNotice error={usage.error} retry={() => void usage.refetch()} />
    ) : (
      <Skeleton className="h-24" />
    );
  }
  if (usage.data.items.length === 0) {
    return <p className="text-soft text-sm">{t("quota.noChanges")}</p>;
  }
  return (
    <ul className="flex flex-col gap-1 text-sm">
      {usage.data.items.map((item) => (
        <li key={item.id} className="flex items-baseline gap-2">
          <span className="min-w-0 flex-1 truncate" title={item.reason}>
            {t(`plan.kinds.${item.kind}`)} <bdi className="text-soft">{item.reason}</bdi>
          </span>
          <time dateTime={item.at} className="shrink-0 text-soft text-xs">
            {formats.date(item.at)}
          </time>
          <span className="shrink-0 font-medium tabular-nums">
            <bdi>{signedCredits(item.credits, i18n.language)}</bdi>
          </span>
        </li>
      ))}
    </ul>
  );
}
