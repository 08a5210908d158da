/** Which time, in which steps and zone, with or without bots, and what it is narrowed to. */

import { X } from "lucide-react";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Select } from "../design/Field";
import { DayRange } from "./DayRange";
import { valueName } from "./names";
import { dayIn, possibleIntervals } from "./periods";
import { periodNow } from "./questions";
import type { Shown } from "./use_view";
import {
  BOTS,
  type Bots,
  browserZone,
  DIMENSIONS,
  type Interval,
  RANGES,
  type Range,
} from "./view";

export function Controls({ view, change }: Shown) {
  const { t, i18n } = useTranslation();
  const ranges = useRef<HTMLDivElement>(null);
  const period = periodNow(view);
  const zones = [...new Set([view.timeZone, browserZone(), "UTC"])];
  const chooseRange = (range: Range) => {
    if (range !== "custom") return change({ range, first: "", last: "", interval: null });
    // It begins with what is seen now.
    const last = new Date(Date.parse(period.to) - 60_000);
    change({
      range,
      first: dayIn(new Date(period.from), view.timeZone),
      last: dayIn(last, view.timeZone),
      interval: null,
    });
  };
  const narrowed = DIMENSIONS.flatMap((dimension) => {
    const value = view.where[dimension];
    return value === undefined ? [] : [{ dimension, value }];
  });
  return (
    <div className="flex w-full min-w-0 flex-col gap-2 lg:w-auto">
      <div ref={ranges} className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap">
        <Select<Range>
          bare
          label={t("dashboard.range")}
          value={view.range}
          choose={chooseRange}
          options={RANGES.map((value) => ({ value, title: t(`dashboard.ranges.${value}`) }))}
        />
        <Select<Interval>
          bare
          label={t("dashboard.interval")}
          value={period.interval}
          choose={(interval) => change({ interval })}
          options={possibleIntervals(period).map((value) => ({
            value,
            title: t(`dashboard.intervals.${value}`),
          }))}
        />
        <Select<string>
          bare
          label={t("dashboard.timeZone")}
          value={view.timeZone}
          choose={(timeZone) => change({ timeZone })}
          options={zones.map((value) => ({ value, title: value.replaceAll("_", " ") }))}
        />
        <Select<Bots>
          bare
          label={t("dashboard.bots")}
          value={view.bots}
          choose={(bots) => change({ bots })}
          options={BOTS.map((value) => ({ value, title: t(`dashboard.botsShown.${value}`) }))}
        />
      </div>
      {view.range === "custom" ? <DayRange view={view} change={change} /> : null}
      {narrowed.length > 0 ? (
        <ul className="flex flex-wrap gap-2" aria-label={t("dashboard.narrowed")}>
          {narrowed.map(({ dimension, value }) => {
            const name = valueName(dimension, value, t, i18n.language);
            const title = t(`dashboard.dimensions.${dimension}`);
            return (
              <li key={dimension} className="min-w-0 max-w-full">
                <Button
                  className="max-w-full text-sm"
                  aria-label={t("dashboard.widen", { dimension: title, value: name })}
                  onClick={() => {
                    const { [dimension]: _, ...where } = view.where;
                    change({ where });
                    // The button is gone: on with what it belonged to.
                    ranges.current?.querySelector("select")?.focus();
                  }}
                >
                  <span className="truncate">
                    {title}: <bdi>{name}</bdi>
                  </span>
                  <X aria-hidden className="size-4 shrink-0" />
                </Button>
              </li>
            );
          })}
        </ul>
      ) : null}
    </div>
  );
}
