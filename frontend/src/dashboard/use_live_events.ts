/** The newest events as they are counted; whatever else the dashboard shows is asked again then. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Schemas } from "../api/client";
import { follow, type ServerEvent } from "../api/server_events";
import { ANALYTICS } from "./questions";

export type StoredEvent = Schemas["StoredEvent"];

export interface Live {
  /** Newest first. */
  events: readonly StoredEvent[];
  state: "connecting" | "live" | "stale" | "away" | "refused";
  /** Events that came faster than they are shown, since the page was opened. */
  skipped: number;
}

const KEPT = 50;
const FIRST = 20;
/** However many events come, questions are asked again this often at most. */
const REFRESH_MS = 1000;

export function useLiveEvents(): Live {
  const queries = useQueryClient();
  const [live, setLive] = useState<Live>({ events: [], state: "connecting", skipped: 0 });
  useEffect(() => {
    const ending = new AbortController();
    let refreshed = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const opened = Date.now();
    let stood = true;
    const refresh = () => {
      if (timer !== undefined) return;
      timer = setTimeout(
        () => {
          timer = undefined;
          refreshed = Date.now();
          void queries.invalidateQueries({ queryKey: [ANALYTICS] });
        },
        Math.max(0, refreshed + REFRESH_MS - Date.now()),
      );
    };
    const take = (event: ServerEvent) => {
      setLive((now) => after(now, event));
      if (isNew(event, opened)) refresh();
    };
    follow(`/analytics/live?limit=${FIRST}`, {
      signal: ending.signal,
      take,
      connected: (stands) => {
        setLive((now) => ({ ...now, state: stands ? "live" : "away" }));
        // Away: whether answers are old shows when they are asked for. Back: something may be new.
        if (stands !== stood) refresh();
        stood = stands;
      },
    }).catch(() => setLive((now) => ({ ...now, state: "refused" })));
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [queries]);
  return live;
}

function isNew(event: ServerEvent, opened: number): boolean {
  if (event.name === "skipped") return true;
  // Those that are shown first were counted when the page asked.
  return (
    event.name === "event" && Date.parse((event.data as StoredEvent).received_at) > opened - 5000
  );
}

/** What is shown after an event of the stream. */
export function after(live: Live, event: ServerEvent): Live {
  switch (event.name) {
    case "event": {
      const stored = event.data as StoredEvent;
      if (live.events.some((each) => each.event_id === stored.event_id)) return live;
      return { ...live, events: [stored, ...live.events].slice(0, KEPT) };
    }
    case "skipped":
      return { ...live, skipped: live.skipped + (event.data as { count: number }).count };
    case "stale":
      return { ...live, state: "stale" };
    case "fresh":
      return { ...live, state: "live" };
    default:
      return live;
  }
}
