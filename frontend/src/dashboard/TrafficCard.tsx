/** Views, visitors and conversions over time: as lines, and as a table. */

import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { trafficOf } from "../charts/series";
import { type Line, TimeSeriesChart } from "../charts/TimeSeriesChart";
import { Card } from "../design/Card";
import { DataTable } from "../design/DataTable";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { ChartActions } from "./ChartActions";
import { addressOf, narrowedBy, useTraffic } from "./questions";
import type { ViewAndPeriod } from "./use_view";

const HEIGHT = 280;

export function TrafficCard({ view, period }: ViewAndPeriod) {
  const { t, i18n } = useTranslation();
  const formats = useFormats(view.timeZone);
  const traffic = useTraffic(view, period);
  const [asTable, setAsTable] = useState(false);
  const [pointed, setPointed] = useState<number | null>(null);
  const series = useMemo(
    () => trafficOf(traffic.data?.views.items ?? [], traffic.data?.conversions.items ?? []),
    [traffic.data],
  );
  const lines: Line[] = [
    { name: t("dashboard.tiles.views"), values: series.views, colour: "--accent", area: true },
    {
      name: t("dashboard.tiles.visitors"),
      values: series.visitors,
      colour: "--third",
      dashed: true,
    },
    {
      name: t("dashboard.tiles.conversions"),
      values: series.conversions,
      colour: "--second",
      right: true,
    },
  ];
  const write =
    period.interval === "minute" || period.interval === "hour" ? formats.dateTime : formats.date;
  const at = (start: number) => write(new Date(start * 1000));
  const start = pointed === null ? undefined : series.starts[pointed];
  const query = {
    ...narrowedBy(view, period),
    interval: period.interval,
    timezone: view.timeZone,
    group_by: "event_type",
  };
  return (
    <Card
      title={t("dashboard.traffic")}
      actions={
        <ChartActions
          asTable={asTable}
          setAsTable={setAsTable}
          address={addressOf("/analytics/timeseries", query)}
          name="weir-traffic"
        />
      }
    >
      <ul className="flex min-h-6 flex-wrap gap-x-4 gap-y-1 text-sm">
        {lines.map((line, index) => (
          <li key={line.name} className="flex items-center gap-1.5">
            <span
              aria-hidden
              className="inline-block h-0.5 w-4 rounded"
              style={{ background: `var(${line.colour})` }}
            />
            {line.name}
            {pointed !== null && start !== undefined ? (
              <strong className="tabular-nums">
                {formats.count(lines[index]?.values[pointed] ?? 0)}
              </strong>
            ) : null}
            {line.right ? <span className="text-soft">{t("dashboard.rightScale")}</span> : null}
          </li>
        ))}
        {start !== undefined ? <li className="text-soft">{at(start)}</li> : null}
      </ul>
      {traffic.data === undefined ? (
        traffic.isError ? (
          <ProblemNotice error={traffic.error} retry={() => void traffic.refetch()} />
        ) : (
          <div style={{ height: HEIGHT }}>
            <Skeleton className="h-full" />
          </div>
        )
      ) : asTable ? (
        <DataTable
          caption={t("dashboard.traffic")}
          rows={series.starts.map((each, index) => ({ start: each, index })).reverse()}
          rowKey={(row) => String(row.start)}
          columns={[
            { title: t("dashboard.time"), cell: (row) => at(row.start) },
            ...lines.map((line) => ({
              title: line.name,
              number: true,
              cell: (row: { index: number }) => formats.count(line.values[row.index] ?? 0),
            })),
          ]}
        />
      ) : (
        <TimeSeriesChart
          label={t("dashboard.trafficLabel", {
            first: at(series.starts[0] ?? 0),
            last: at(series.starts.at(-1) ?? 0),
          })}
          starts={series.starts}
          lines={lines}
          timeZone={view.timeZone}
          language={i18n.language}
          formatTime={at}
          formatValue={formats.compact}
          height={HEIGHT}
          onPoint={setPointed}
        />
      )}
    </Card>
  );
}
