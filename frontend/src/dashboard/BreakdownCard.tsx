/** The most counted values of a dimension, or of one among several. */

import { Tabs } from "radix-ui";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { BarTable } from "../charts/BarTable";
import { barsOf } from "../charts/bars";
import { Button } from "../design/Button";
import { Card } from "../design/Card";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { ChartActions } from "./ChartActions";
import { valueName } from "./names";
import { addressOf, type EventType, narrowedBy, useBreakdown } from "./questions";
import type { ViewAndPeriod } from "./use_view";
import type { Dimension } from "./view";

type By = Dimension | "event_type";

interface Props extends ViewAndPeriod {
  title: string;
  dimensions: readonly [By, ...By[]];
  eventType: EventType | null;
}

const ROWS = 8;

export function BreakdownCard({ title, dimensions, eventType, ...shown }: Props) {
  const { t } = useTranslation();
  const [by, setBy] = useState<By>(dimensions[0]);
  const query = {
    ...narrowedBy(shown.view, shown.period),
    by,
    ...(eventType === null ? {} : { event_type: eventType }),
    limit: 10_000,
  };
  const values = <Values key={by} title={title} by={by} eventType={eventType} {...shown} />;
  return (
    <Card
      title={title}
      actions={
        <ChartActions
          address={addressOf("/analytics/breakdown", query)}
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

function Values({ title, by, eventType, view, period, change }: ValuesProps) {
  const { t, i18n } = useTranslation();
  const [all, setAll] = useState(false);
  const answer = useBreakdown(view, period, by, eventType);
  if (answer.data === undefined) {
    return answer.isError ? (
      <ProblemNotice error={answer.error} retry={() => void answer.refetch()} />
    ) : (
      <Skeleton className="h-64" />
    );
  }
  const bars = barsOf(answer.data.items);
  if (bars.length === 0) {
    return <p className="py-6 text-center text-soft">{t("dashboard.nothingCounted")}</p>;
  }
  return (
    <>
      <BarTable
        caption={title}
        valueTitle={t(`dashboard.dimensions.${by}`)}
        countTitle={
          eventType === "conversion"
            ? t("dashboard.tiles.conversions")
            : eventType === "page_view"
              ? t("dashboard.tiles.views")
              : t("dashboard.events")
        }
        bars={all ? bars : bars.slice(0, ROWS)}
        nameOf={(value) => valueName(by, value, t, i18n.language)}
        choose={
          by === "event_type"
            ? undefined
            : (value) => change({ where: { ...view.where, [by]: value } })
        }
      />
      {bars.length > ROWS ? (
        <Button kind="quiet" className="mt-2 self-start text-sm" onClick={() => setAll(!all)}>
          {all ? t("dashboard.fewer") : t("dashboard.showAll", { count: bars.length })}
        </Button>
      ) : null}
    </>
  );
}
