/** For who has no events yet: how to send one, and that it is waited for. */

import { Tabs } from "radix-ui";
import { useTranslation } from "react-i18next";
import { Card } from "../design/Card";
import { CopyButton } from "../design/CopyButton";
import { ScrollRegion } from "../design/ScrollRegion";
import { useSession } from "../identity/session_context";
import { LiveState } from "./LiveCard";
import { curlSnippet, middlewareSnippet, trackerSnippet } from "./snippets";
import type { Live } from "./use_live_events";

export function FirstEvent({ live }: { live: Live }) {
  const { t } = useTranslation();
  const { settings } = useSession();
  const origin = window.location.origin;
  const ways = [
    { name: "curl", title: t("first.terminal"), text: curlSnippet(origin) },
    {
      name: "tracker",
      title: t("first.website"),
      text: trackerSnippet(origin, settings.site ?? "site_…"),
    },
    { name: "middleware", title: t("first.service"), text: middlewareSnippet(origin) },
  ];
  return (
    <div className="mx-auto flex max-w-3xl flex-col gap-4">
      <h1 className="font-semibold text-2xl">{t("first.title")}</h1>
      <p className="text-soft">{t("first.explanation")}</p>
      <Card title={t("first.send")} actions={<LiveState state={live.state} />}>
        <Tabs.Root defaultValue="curl">
          <Tabs.List aria-label={t("first.send")} className="mb-3 flex flex-wrap gap-1">
            {ways.map(({ name, title }) => (
              <Tabs.Trigger
                key={name}
                value={name}
                className="min-h-9 rounded-lg px-3 text-soft hover:bg-sunken data-[state=active]:bg-accent-faint data-[state=active]:text-ink"
              >
                {title}
              </Tabs.Trigger>
            ))}
          </Tabs.List>
          {ways.map(({ name, title, text }) => (
            <Tabs.Content key={name} value={name} className="flex flex-col items-start gap-3">
              <ScrollRegion
                label={title}
                className="w-full overflow-x-auto rounded-lg bg-sunken p-3"
              >
                <pre dir="ltr" className="text-sm">
                  <code>{text}</code>
                </pre>
              </ScrollRegion>
              <CopyButton text={text} />
              {name === "tracker" && settings.site === null ? (
                <p className="text-soft text-sm">{t("first.siteKey")}</p>
              ) : null}
              {name !== "tracker" && settings.sign_in !== "none" ? (
                <p className="text-soft text-sm">{t("first.writeKey")}</p>
              ) : null}
            </Tabs.Content>
          ))}
        </Tabs.Root>
      </Card>
      <p role="status" className="text-soft">
        {t("first.waiting")}
      </p>
    </div>
  );
}
