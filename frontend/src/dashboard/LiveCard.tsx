/** The newest events, one by one. */

import { Bot } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Card } from "../design/Card";
import { ScrollRegion } from "../design/ScrollRegion";
import { useFormats } from "../language/formats";
import { eventName, valueName } from "./names";
import type { Live, StoredEvent } from "./use_live_events";

export function LiveCard({ live, timeZone }: { live: Live; timeZone: string }) {
  const { t } = useTranslation();
  const formats = useFormats(timeZone);
  return (
    <Card title={t("dashboard.live")} actions={<LiveState state={live.state} />}>
      {live.events.length === 0 ? (
        <p className="py-6 text-center text-soft">{t("dashboard.nothingYet")}</p>
      ) : (
        <ScrollRegion label={t("dashboard.live")} className="max-h-80 overflow-y-auto">
          <ol className="flex flex-col">
            {live.events.map((event) => (
              <LiveEvent key={event.event_id} event={event} timeZone={timeZone} />
            ))}
          </ol>
        </ScrollRegion>
      )}
      {live.skipped > 0 ? (
        <p className="text-soft text-sm">
          {t("dashboard.skipped", { count: live.skipped, number: formats.count(live.skipped) })}
        </p>
      ) : null}
    </Card>
  );
}

const DOTS: Record<Live["state"], string> = {
  connecting: "bg-soft",
  live: "bg-good",
  stale: "bg-warn",
  away: "bg-warn",
  refused: "bg-bad",
};

export function LiveState({ state }: { state: Live["state"] }) {
  const { t } = useTranslation();
  return (
    <p role="status" className="flex items-center gap-2 text-sm">
      <span aria-hidden className={`size-2 rounded-full ${DOTS[state]}`} />
      {t(`dashboard.liveStates.${state}`)}
    </p>
  );
}

function LiveEvent({ event, timeZone }: { event: StoredEvent; timeZone: string }) {
  const { t, i18n } = useTranslation();
  const formats = useFormats(timeZone);
  const from = [
    event.referrer,
    event.country === "" ? "" : valueName("country", event.country, t, i18n.language),
    event.browser,
  ].filter((each) => each !== "");
  return (
    <li className="flex items-baseline gap-3 border-line border-t py-1.5 text-sm first:border-t-0">
      <time dateTime={event.received_at} className="shrink-0 text-soft tabular-nums">
        {formats.time(event.received_at)}
      </time>
      <div className="min-w-0 flex-1">
        <p className="truncate" title={event.path}>
          <bdi>{event.path}</bdi>
        </p>
        <p className="truncate text-soft">
          {[eventName(event.event_type, t), ...from].join(" · ")}
        </p>
      </div>
      {event.bot ? (
        <span className="flex items-center gap-1 text-soft">
          <Bot aria-hidden className="size-4" />
          {t("dashboard.bot")}
        </span>
      ) : null}
    </li>
  );
}
