/** Views, visitors, conversions and their rate, each against the period before. */

import { Bot, Minus, TrendingDown, TrendingUp } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { useBots, useTotals } from "./questions";
import { type Tile, tilesOf } from "./tiles";
import type { ViewAndPeriod } from "./use_view";

export function Tiles({ view, period }: ViewAndPeriod) {
  const { t } = useTranslation();
  const formats = useFormats();
  const totals = useTotals(view, period);
  const bots = useBots(view, period);
  if (totals.data === undefined) {
    return totals.isError ? (
      <ProblemNotice error={totals.error} retry={() => void totals.refetch()} />
    ) : (
      <Skeleton className="h-28" />
    );
  }
  const left = bots.data?.count.value ?? 0;
  return (
    <section aria-label={t("dashboard.totals")} className="flex flex-col gap-2">
      <dl className="grid grid-cols-2 gap-3 lg:grid-cols-4">
        {tilesOf(totals.data).map((tile) => (
          <OneTile key={tile.name} tile={tile} />
        ))}
      </dl>
      {view.bots === "exclude" && left > 0 ? (
        <p className="flex items-center gap-2 text-soft text-sm">
          <Bot aria-hidden className="size-4 shrink-0" />
          {t("dashboard.botsLeftOut", { count: left, number: formats.count(left) })}
        </p>
      ) : null}
    </section>
  );
}

const ICONS = { up: TrendingUp, down: TrendingDown, same: Minus, unknown: Minus };
const LOOKS = { up: "text-good", down: "text-bad", same: "text-soft", unknown: "text-soft" };

function OneTile({ tile }: { tile: Tile }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const write = (value: number | null) => {
    if (value === null) return "–";
    return tile.kind === "share" ? formats.percent(value, 2) : formats.count(value);
  };
  const Icon = ICONS[tile.direction];
  return (
    <div className="flex min-w-0 flex-col rounded-card border border-line bg-surface p-4">
      <dt className="text-soft text-sm">{t(`dashboard.tiles.${tile.name}`)}</dt>
      <dd
        className="truncate font-semibold text-2xl tabular-nums sm:text-3xl"
        data-tile={tile.name}
      >
        {write(tile.value)}
      </dd>
      <dd className="text-soft text-sm">
        {tile.change === null ? (
          t("dashboard.nothingBefore")
        ) : (
          <>
            <span className={`inline-flex items-center gap-1 ${LOOKS[tile.direction]}`}>
              <Icon aria-hidden className="size-4" />
              {formats.change(tile.change)}
            </span>{" "}
            {t("dashboard.before", { value: write(tile.previous) })}
          </>
        )}
      </dd>
    </div>
  );
}
