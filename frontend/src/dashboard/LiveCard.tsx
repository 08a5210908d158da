/** The newest events of the view, one by one; held still for who reads them. */

import { Bot, Pause, Play } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { IconButton } from "../design/Button";
import { Card } from "../design/Card";
import { ScrollRegion } from "../design/ScrollRegion";
import { useFormats } from "../language/formats";
import { isOf } from "./matching";
import { eventName, valueName } from "./names";
import type { Live, StoredEvent } from "./use_live_events";
import { useWhen } from "./use_when";
import type { View } from "./view";

export function LiveCard({ live, view }: { live: Live; view: View }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const when = useWhen(view.timeZone);
  const [held, setHeld] = useState<readonly StoredEvent[] | null>(null);
  const events = (held ?? live.events).filter((event) => isOf(event, view));
  return (
    <Card
      title={t("dashboard.live")}
      actions={
        <div className="flex items-center gap-2">
          <LiveState state={live.state} />
          <IconButton
            label={held ? t("dashboard.goOn") : t("dashboard.hold")}
            icon={
              held ? (
                <Play aria-hidden className="size-4" />
              ) : (
                <Pause aria-hidden className="size-4" />
              )
            }
            onClick={() => setHeld(held ? null : live.events)}
          />
        </div>
      }
    >
      {events.length === 0 ? (
        <p className="py-6 text-center text-soft">{t("dashboard.nothingYet")}</p>
      ) : (
        <ScrollRegion label={t("dashboard.live")} className="max-h-80 overflow-y-auto">
          <ol className="flex flex-col">
            {events.map((event) => (
              <LiveEvent key={event.event_id} event={event} at={when(event.received_at)} />
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
    <p role="status" data-live={state} className="flex items-center gap-2 text-sm">
      <span aria-hidden className={`size-2 rounded-full forced-color-adjust-none ${DOTS[state]}`} />
      {t(`dashboard.liveStates.${state}`)}
    </p>
  );
}

function LiveEvent({ event, at }: { event: StoredEvent; at: string }) {
  const { t, i18n } = useTranslation();
  const from = [
    eventName(event.event_type, t),
    event.referrer,
    event.country === "" ? "" : valueName("country", event.country, t, i18n.language),
    event.browser,
  ].filter((each) => each !== "");
  return (
    <li className="flex items-baseline gap-3 border-line border-t py-1.5 text-sm first:border-t-0">
      <time dateTime={event.received_at} className="shrink-0 text-soft tabular-nums">
        {at}
      </time>
      <div className="min-w-0 flex-1">
        <p dir="ltr" className="truncate rtl:text-right" title={event.path}>
          <bdi>{event.path}</bdi>
        </p>
        <ul className="flex overflow-hidden text-soft">
          {from.map((each, index) => (
            <li key={each} className="flex min-w-0 whitespace-pre">
              {index > 0 ? <span aria-hidden>{" · "}</span> : null}
              <bdi className="truncate">{each}</bdi>
            </li>
          ))}
        </ul>
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
