/** How many credits remain, on every page; behind it where they went and when new ones come. */

import { clsx } from "clsx";
import { Coins, TriangleAlert } from "lucide-react";
import { Popover } from "radix-ui";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { PopoverPanel } from "../design/PopoverPanel";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { standingOf } from "./credits";
import { QuotaDetails } from "./QuotaDetails";
import { type Plan, useMyPlan } from "./queries";

const SIZE = "min-h-10 min-w-16 sm:min-w-28";

export function QuotaDisplay() {
  const { t } = useTranslation();
  const plan = useMyPlan();
  const words = plan.data
    ? t(`quota.${standingOf(plan.data)}`, { count: plan.data.remaining })
    : "";
  const changed = useChanged(plan.data?.remaining);
  return (
    <>
      <span role="status" className="sr-only">
        {changed ? words : ""}
      </span>
      {plan.data === undefined && !plan.isError ? (
        <Skeleton className={SIZE} />
      ) : (
        <Popover.Root>
          <Popover.Trigger
            className={clsx(
              "inline-flex items-center justify-center gap-1.5 rounded-lg px-2 text-sm tabular-nums",
              "transition-colors hover:bg-sunken",
              SIZE,
            )}
          >
            {plan.data ? <Remaining plan={plan.data} words={words} /> : <Unknown />}
            <span className="sr-only">{t("quota.open")}</span>
          </Popover.Trigger>
          <PopoverPanel label={t("quota.title")} width="w-80">
            {plan.isError ? (
              <ProblemNotice error={plan.error} retry={() => void plan.refetch()} />
            ) : null}
            {plan.data ? <QuotaDetails plan={plan.data} /> : null}
          </PopoverPanel>
        </Popover.Root>
      )}
    </>
  );
}

function Remaining({ plan, words }: { plan: Plan; words: string }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const standing = standingOf(plan);
  if (standing === "plenty") {
    return (
      <>
        <Coins aria-hidden className="size-4 shrink-0 text-soft" />
        <span aria-hidden className="font-medium sm:hidden">
          {formats.compact(plan.remaining)}
        </span>
        <span className="font-medium max-sm:sr-only">{words}</span>
      </>
    );
  }
  return (
    <span className="inline-flex items-center gap-1.5 font-medium text-bad">
      <TriangleAlert aria-hidden className="size-4 shrink-0" />
      {/* One of the two is there, for the eye and for a screen reader. */}
      <span className="sm:hidden">{t("quota.short", { count: plan.remaining })}</span>
      <span className="max-sm:hidden">{words}</span>
    </span>
  );
}

function Unknown() {
  const { t } = useTranslation();
  return (
    <span className="inline-flex items-center gap-1.5 text-warn">
      <TriangleAlert aria-hidden className="size-4 shrink-0" />
      <span className="max-sm:sr-only">{t("quota.unknown")}</span>
    </span>
  );
}

/** Whether the number is another than the first: what was there at the start is not announced. */
function useChanged(value: number | undefined): boolean {
  const first = useRef<number | undefined>(undefined);
  const [changed, setChanged] = useState(false);
  useEffect(() => {
    if (value === undefined) return;
    if (first.current === undefined) first.current = value;
    else if (first.current !== value) setChanged(true);
  }, [value]);
  return changed;
}
