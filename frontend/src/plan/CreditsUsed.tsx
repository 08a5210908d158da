/** How much of the period's credits is used, and when it begins anew. */

import { TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ProgressBar } from "../design/ProgressBar";
import { useFormats } from "../language/formats";
import { standingOf } from "./credits";
import type { Plan } from "./queries";

export function CreditsUsed({ plan }: { plan: Plan }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const standing = standingOf(plan);
  const used = t("quota.used", {
    used: formats.count(plan.quota_used),
    limit: formats.count(plan.limit),
  });
  return (
    <div className="flex flex-col gap-1.5 text-sm">
      <p className="flex flex-wrap justify-between gap-x-3">
        <span className="tabular-nums">{used}</span>
        {standing === "plenty" ? (
          <span className="text-soft tabular-nums">
            {t("quota.remain", { count: plan.remaining })}
          </span>
        ) : (
          <span className="inline-flex items-center gap-1.5 font-medium text-bad tabular-nums">
            <TriangleAlert aria-hidden className="size-4 shrink-0" />
            {t(`quota.${standing}`, { count: plan.remaining })}
          </span>
        )}
      </p>
      <ProgressBar
        label={t("quota.bar")}
        value={plan.quota_used}
        max={plan.limit}
        text={used}
        low={standing !== "plenty"}
      />
      <p className="text-soft">{t("quota.resets", { date: formats.dateTime(plan.resets_at) })}</p>
    </div>
  );
}
