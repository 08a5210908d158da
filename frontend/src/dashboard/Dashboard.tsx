/** What happened: totals, time, paths, where from, and each event as it comes. */

import { useTranslation } from "react-i18next";
import { useTitle } from "../app/title";
import { AnswersNotice } from "./AnswersNotice";
import { BreakdownCard } from "./BreakdownCard";
import { Controls } from "./Controls";
import { FirstEvent } from "./FirstEvent";
import { LiveCard } from "./LiveCard";
import { useNoEventEver } from "./questions";
import { Tiles } from "./Tiles";
import { TrafficCard } from "./TrafficCard";
import { useLiveEvents } from "./use_live_events";
import { useView } from "./use_view";

export function Dashboard() {
  const { t } = useTranslation();
  useTitle(t("shell.dashboard"));
  const { view, change } = useView();
  const live = useLiveEvents();
  const none = useNoEventEver(view);
  if (none && live.events.length === 0) return <FirstEvent live={live} />;
  const shown = { view, change };
  return (
    <div className="flex flex-col gap-4">
      <header className="flex flex-wrap items-end justify-between gap-3">
        <h1 className="font-semibold text-2xl">{t("shell.dashboard")}</h1>
        <Controls {...shown} />
      </header>
      <AnswersNotice timeZone={view.timeZone} />
      <Tiles {...shown} />
      <TrafficCard {...shown} />
      <div className="grid gap-4 lg:grid-cols-2">
        <BreakdownCard
          {...shown}
          title={t("dashboard.topPaths")}
          dimensions={["path"]}
          eventType="page_view"
        />
        <BreakdownCard
          {...shown}
          title={t("dashboard.conversionsByPath")}
          dimensions={["path"]}
          eventType="conversion"
        />
        <BreakdownCard
          {...shown}
          title={t("dashboard.referrers")}
          dimensions={["referrer", "country"]}
          eventType="page_view"
        />
        <BreakdownCard
          {...shown}
          title={t("dashboard.visitorsUse")}
          dimensions={["device", "browser", "os"]}
          eventType="page_view"
        />
        <BreakdownCard
          {...shown}
          title={t("dashboard.more")}
          dimensions={["source", "event_type", "status", "method", "route"]}
          eventType={null}
        />
        <LiveCard live={live} view={view} />
      </div>
    </div>
  );
}
