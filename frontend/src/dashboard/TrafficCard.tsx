/** Views, visitors and conversions over time: as lines, and as a table. */

import { clsx } from "clsx";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { trafficCsv, trafficOf } from "../charts/series";
import { type Line, TimeSeriesChart } from "../charts/TimeSeriesChart";
import { Card } from "../design/Card";
import { DataTable } from "../design/DataTable";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { ChartActions } from "./ChartActions";
import { Fresh } from "./Fresh";
import { NoAnswer } from "./NoAnswer";
import { writtenIn } from "./periods";
import { useTraffic } from "./questions";
import type { Shown } from "./use_view";

const HEIGHT = 280;

export function TrafficCard({ view }: Pick<Shown, "view">) {
  const { t, i18n } = useTranslation();
  const formats = useFormats(view.timeZone);
  const traffic = useTraffic(view);
  const [asTable, setAsTable] = useState(false);
  const [pointed, setPointed] = useState<number | null>(null);
  const series = useMemo(
    () =>
      traffic.data === undefined
        ? trafficOf([], [])
        : trafficOf(
            traffic.data.views,
            traffic.data.conversions,
            Date.parse(traffic.data.period.from) / 1000,
          ),
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
  const interval = traffic.data?.period.interval;
  const write = interval === "minute" || interval === "hour" ? formats.dateTime : formats.date;
  const at = (start: number) => write(new Date(start * 1000));
  const start = pointed === null ? undefined : series.starts[pointed];
  // What is seen, and not asked anew: one question has not both series in every case.
  const csv = () => trafficCsv(series, (start) => writtenIn(new Date(start * 1000), view.timeZone));
  return (
    <Card
      title={t("dashboard.traffic")}
      actions={
        <ChartActions
          asTable={asTable}
          setAsTable={setAsTable}
          title={t("dashboard.traffic")}
          csv={traffic.data === undefined || traffic.isPlaceholderData ? null : csv}
          name="weir-traffic"
        />
      }
    >
      <ul className="flex min-h-6 flex-wrap gap-x-4 gap-y-1 text-sm">
        {lines.map((line, index) => (
          <li key={line.name} className="flex items-center gap-1.5">
            <span
              aria-hidden
              className={clsx("inline-block w-5 border-t-2", line.dashed && "border-dashed")}
              style={{ borderColor: `var(${line.colour})` }}
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
          <NoAnswer />
        ) : (
          <div style={{ height: HEIGHT }}>
            <Skeleton className="h-full" />
          </div>
        )
      ) : (
        <Fresh waits={traffic.isPlaceholderData}>
          {asTable ? (
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
              // Another view is seen from its begin to its end.
              key={JSON.stringify(view)}
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
        </Fresh>
      )}
    </Card>
  );
}
