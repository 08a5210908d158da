/** The most counted values of a dimension, or of one among several. */

import { Tabs } from "radix-ui";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { answeredCsv } from "../api/saving";
import { BarTable } from "../charts/BarTable";
import { barsOf } from "../charts/bars";
import { Button } from "../design/Button";
import { Card } from "../design/Card";
import { Skeleton } from "../design/Skeleton";
import { ChartActions } from "./ChartActions";
import { Fresh } from "./Fresh";
import { NoAnswer } from "./NoAnswer";
import { valueName } from "./names";
import {
  addressOf,
  type EventType,
  narrowedBy,
  periodNow,
  useBreakdown,
  useTotals,
  VALUES,
} from "./questions";
import type { Shown } from "./use_view";
import type { Dimension } from "./view";

type By = Dimension | "event_type";

interface Props extends Shown {
  title: string;
  dimensions: readonly [By, ...By[]];
  eventType: EventType | null;
}

const ROWS = 8;

export function BreakdownCard({ title, dimensions, eventType, ...shown }: Props) {
  const { t } = useTranslation();
  const [by, setBy] = useState<By>(dimensions[0]);
  const address = () =>
    addressOf("/analytics/breakdown", {
      ...narrowedBy(shown.view, periodNow(shown.view)),
      by,
      ...(eventType === null ? {} : { event_type: eventType }),
      limit: 10_000,
    });
  const values = <Values key={by} title={title} by={by} eventType={eventType} {...shown} />;
  return (
    <Card
      title={title}
      actions={
        <ChartActions
          title={title}
          csv={() => answeredCsv(address())}
          name={`weir-${eventType ?? "events"}-by-${by}`}
        />
      }
    >
      {dimensions.length === 1 ? (
        values
      ) : (
        <Tabs.Root value={by} onValueChange={(value) => setBy(value as By)}>
          <Tabs.List aria-label={title} className="mb-3 flex flex-wrap gap-1">
            {dimensions.map((each) => (
              <Tabs.Trigger
                key={each}
                value={each}
                className="min-h-8 rounded-lg px-2.5 text-sm text-soft hover:bg-sunken data-[state=active]:bg-accent-faint data-[state=active]:text-ink"
              >
                {t(`dashboard.dimensions.${each}`)}
              </Tabs.Trigger>
            ))}
          </Tabs.List>
          {dimensions.map((each) => (
            <Tabs.Content key={each} value={each}>
              {each === by ? values : null}
            </Tabs.Content>
          ))}
        </Tabs.Root>
      )}
    </Card>
  );
}

interface ValuesProps extends Omit<Props, "dimensions"> {
  by: By;
}

function Values({ title, by, eventType, view, change }: ValuesProps) {
  const { t, i18n } = useTranslation();
  const [all, setAll] = useState(false);
  const answer = useBreakdown(view, by, eventType);
  const totals = useTotals(view);
  if (answer.data === undefined) {
    return answer.isError ? <NoAnswer /> : <Skeleton className="h-64" />;
  }
  // Each event has one value, of which these are the first: shares are of all events.
  const bars = barsOf(answer.data.items, totals.data?.[COUNTED[eventType ?? "all"]].value ?? 0);
  const more =
    bars.length < VALUES
      ? t("dashboard.showAll", { count: bars.length })
      : t("dashboard.showFirst");
  return (
    <Fresh waits={answer.isPlaceholderData}>
      {bars.length === 0 ? (
        <p className="py-6 text-center text-soft">{t("dashboard.nothingCounted")}</p>
      ) : (
        <BarTable
          caption={title}
          valueTitle={t(`dashboard.dimensions.${by}`)}
          countTitle={t(`dashboard.counted.${eventType ?? "all"}`)}
          bars={all ? bars : bars.slice(0, ROWS)}
          nameOf={(value) => valueName(by, value, t, i18n.language)}
          choose={
            by === "event_type"
              ? undefined
              : (value) => change({ where: { ...view.where, [by]: value } })
          }
        />
      )}
      {bars.length > ROWS ? (
        <Button kind="quiet" className="mt-2 text-sm" onClick={() => setAll(!all)}>
          {all ? t("dashboard.fewer") : more}
        </Button>
      ) : null}
    </Fresh>
  );
}

const COUNTED = { page_view: "page_views", conversion: "conversions", all: "count" } as const;
