/** Views, visitors, conversions and their rate, each against the period before. */

import { clsx } from "clsx";
import { Bot, Minus, TrendingDown, TrendingUp } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { Fresh } from "./Fresh";
import { NoAnswer } from "./NoAnswer";
import { useBots, useTotals } from "./questions";
import { type Tile, tilesOf } from "./tiles";
import type { Shown } from "./use_view";

export function Tiles({ view }: Pick<Shown, "view">) {
  const { t } = useTranslation();
  const formats = useFormats();
  const totals = useTotals(view);
  const bots = useBots(view);
  if (totals.data === undefined) {
    return totals.isError ? <NoAnswer /> : <Skeleton className="h-28" />;
  }
  const left = bots.data?.count.value ?? 0;
  return (
    <section aria-label={t("dashboard.totals")} className="flex flex-col gap-2">
      <Fresh waits={totals.isPlaceholderData}>
        <dl className="grid grid-cols-2 gap-3 lg:grid-cols-4">
          {tilesOf(totals.data).map((tile) => (
            <OneTile key={tile.name} tile={tile} />
          ))}
        </dl>
      </Fresh>
      {view.bots === "exclude" && left > 0 ? (
        <Fresh waits={bots.isPlaceholderData}>
          <p className="flex items-center gap-2 text-soft text-sm">
            <Bot aria-hidden className="size-4 shrink-0" />
            {t("dashboard.botsLeftOut", { count: left, number: formats.count(left) })}
          </p>
        </Fresh>
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
  const value = write(tile.value);
  return (
    <div className="flex min-w-0 flex-col rounded-card border border-line bg-surface p-4">
      <dt className="text-soft text-sm">{t(`dashboard.tiles.${tile.name}`)}</dt>
      <dd
        // A number that is cut reads as another one.
        className={clsx(
          "font-semibold tabular-nums sm:text-3xl",
          value.length > 7 ? "text-lg" : "text-2xl",
        )}
        data-tile={tile.name}
      >
        {value}
      </dd>
      <dd className="flex flex-wrap gap-x-1.5 text-soft text-sm">
        {tile.change === null ? (
          t("dashboard.nothingBefore")
        ) : (
          <>
            <span className={clsx("whitespace-nowrap", LOOKS[tile.direction])}>
              <Icon aria-hidden className="me-1 inline size-4 align-[-0.15em]" />
              {formats.change(tile.change)}
            </span>
            <span>{t("dashboard.before", { value: write(tile.previous) })}</span>
          </>
        )}
      </dd>
    </div>
  );
}
