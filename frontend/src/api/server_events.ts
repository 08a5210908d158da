/** Server-sent events with credentials, which a browser's EventSource cannot send. */

import { EventSourceParserStream } from "eventsource-parser/stream";
import { open } from "./client";
import { Problem } from "./problem";

export interface ServerEvent {
  name: string;
  data: unknown;
}

interface Following {
  signal: AbortSignal;
  take: (event: ServerEvent) => void;
  /** The connection stands (true), or does not and is tried again (false). */
  connected?: (stands: boolean) => void;
  /** Whether it is over: no connection follows. */
  over?: (event: ServerEvent) => boolean;
  /** Where it goes on; kept by who follows again after a while. */
  position?: Position;
}

/** The id of the last event that was taken; null: from the beginning. */
export interface Position {
  lastId: string | null;
}

const PAUSES_MS = [500, 1000, 2000, 5000];

/**
 * Follows a stream until it is over or the signal says so; connects again after every break, from
 * the last event on. Throws Problem for a refusal that will not pass.
 */
export async function follow(path: string, following: Following): Promise<void> {
  const { signal, take, connected = () => {}, over = () => false } = following;
  const position = following.position ?? { lastId: null };
  let failures = 0;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (position.lastId !== null) headers["Last-Event-ID"] = position.lastId;
      const response = await open(path, { headers, signal });
      // 204: the last event was seen before.
      if (response.status === 204 || response.body === null) return;
      connected(true);
      failures = 0;
      const events = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
      for await (const each of events as unknown as AsyncIterable<{
        id?: string;
        event?: string;
        data: string;
      }>) {
        if (each.id !== undefined) position.lastId = each.id;
        const event: ServerEvent = { name: each.event ?? "message", data: parsed(each.data) };
        take(event);
        if (over(event)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && !error.mayPass) throw error;
      failures += 1;
    }
    if (signal.aborted) return;
    connected(false);
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 5000, signal);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Waits so long, or until the signal says that it is over. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
