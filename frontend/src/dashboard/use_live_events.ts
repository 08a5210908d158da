/** The newest events as they are counted; whatever else the dashboard shows is asked again then. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Schemas } from "../api/client";
import { follow, type Position, type ServerEvent } from "../api/server_events";
import { refreshing } from "./refreshing";

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
const FIRST_MS = 800;
/** A connection that is made anew within so long was never away, for who looks. */
const AWAY_MS = 2000;

export function useLiveEvents(): Live {
  const queries = useQueryClient();
  const [live, setLive] = useState<Live>({ events: [], state: "connecting", skipped: 0 });
  const position = useRef<Position>({ lastId: null });
  // A browser has six connections for an origin: tabs that nobody sees must not hold them.
  const visible = useVisible();
  useEffect(() => {
    if (!visible) return;
    const ending = new AbortController();
    const news = refreshing(queries, ending.signal);
    let away: ReturnType<typeof setTimeout> | undefined;
    let first: ReturnType<typeof setTimeout> | undefined;
    let wasAway = false;
    let settledAt = 0;
    // Seen again after a while: what was answered then may be old.
    if (position.current.lastId !== null) news();
    follow(`/analytics/live?limit=${FIRST}`, {
      signal: ending.signal,
      position: position.current,
      take: (event) => {
        setLive((now) => after(now, event));
        if (event.name !== "event" && event.name !== "skipped") return;
        // The first ones were counted already, most of them: once they have come, one look is enough.
        const left = settledAt - performance.now();
        if (left <= 0) return news();
        first ??= setTimeout(news, left);
      },
      connected: (stands) => {
        clearTimeout(away);
        if (stands) {
          // Only a first connection tells what was there before.
          if (settledAt === 0 && position.current.lastId === null) {
            settledAt = performance.now() + FIRST_MS;
          }
          setLive((now) => ({ ...now, state: "live" }));
          // What could not be answered is said until it is asked again.
          if (wasAway) news();
          wasAway = false;
          return;
        }
        away = setTimeout(() => {
          wasAway = true;
          setLive((now) => ({ ...now, state: "away" }));
          // Whether answers are old shows when they are asked for.
          news();
        }, AWAY_MS);
      },
    }).catch(() => setLive((now) => ({ ...now, state: "refused" })));
    return () => {
      ending.abort();
      clearTimeout(away);
      clearTimeout(first);
    };
  }, [queries, visible]);
  return live;
}

function useVisible(): boolean {
  return useSyncExternalStore(
    (changed) => {
      document.addEventListener("visibilitychange", changed);
      return () => document.removeEventListener("visibilitychange", changed);
    },
    () => document.visibilityState === "visible",
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
