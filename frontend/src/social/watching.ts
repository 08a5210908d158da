/** Follows a post while it is made, and tells the other questions when it is. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Problem } from "../api/problem";
import { follow, pause, type ServerEvent } from "../api/server_events";
import { creditsChanged } from "../plan/queries";
import { PLATFORMS } from "./platforms";
import { isRunning, type Post, postKey, postsChanged, type Variant } from "./posts";

export interface Watching {
  /** Whether events come now. */
  connected: boolean;
  error: unknown;
  again: () => void;
}

/** Of several servers another than the asked one may know a new post some moments later. */
const UNKNOWN_MS = 1000;
const UNKNOWN_ATTEMPTS = 5;

export function useWatching(post: Post | undefined): Watching {
  const queries = useQueryClient();
  const [connected, setConnected] = useState(true);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const id = post !== undefined && isRunning(post) ? post.id : null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a further attempt begins anew
  useEffect(() => {
    setConnected(true);
    setError(null);
    if (id === null) return;
    const stop = new AbortController();
    const take = (event: ServerEvent) => {
      queries.setQueryData<Post>(postKey(id), (before) => before && afterEvent(before, event));
      if (!isLast(event)) return;
      // Refunds came before.
      void creditsChanged(queries);
      void postsChanged(queries);
    };
    followKnown(id, take, setConnected, stop.signal).catch((failure: unknown) => {
      if (!stop.signal.aborted) setError(failure);
    });
    return () => stop.abort();
  }, [id, queries, attempt]);
  return { connected, error, again: () => setAttempt((before) => before + 1) };
}

export async function followKnown(
  id: string,
  take: (event: ServerEvent) => void,
  connected: (stands: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const path = `/social/posts/${encodeURIComponent(id)}/events`;
      await follow(path, { signal, take, connected, over: isLast });
      return;
    } catch (error) {
      const unknown = error instanceof Problem && error.status === 404;
      if (!unknown || attempt === UNKNOWN_ATTEMPTS || signal.aborted) throw error;
      await pause(UNKNOWN_MS, signal);
    }
  }
}

function isLast(event: ServerEvent): boolean {
  return event.name === "done" || event.name === "failed";
}

/** The post with what an event of it says; what is not understood changes nothing. */
export function afterEvent(post: Post, event: ServerEvent): Post {
  if (!isRunning(post)) return post;
  const { data } = event;
  if (typeof data !== "object" || data === null) return post;
  const told = data as Record<string, unknown>;
  if (isLast(event)) {
    // Who watched from the start may know more of what was asked for.
    const { prompt, platform, tone, language } = post;
    const ended = data as Post;
    return {
      ...ended,
      prompt: ended.prompt ?? prompt,
      platform: ended.platform ?? platform,
      tone: ended.tone ?? tone,
      language: ended.language ?? language,
      ...(post.asked === undefined ? {} : { asked: post.asked }),
    };
  }
  if (event.name === "state" && (told.state === "queued" || told.state === "generating")) {
    return { ...post, state: told.state };
  }
  if (typeof told.variant !== "number") return post;
  if (event.name === "caption" && typeof told.text === "string") {
    return withPart(post, told.variant, { caption: told.text });
  }
  if (event.name === "picture" && typeof told.url === "string") {
    const size = post.platform === null ? null : PLATFORMS[post.platform];
    return withPart(post, told.variant, {
      image_url: told.url,
      width: size?.width ?? null,
      height: size?.height ?? null,
    });
  }
  return post;
}

function withPart(post: Post, number: number, part: Partial<Variant>): Post {
  const known = post.variants.find((each) => each.number === number) ?? {
    number,
    caption: null,
    image_url: null,
    width: null,
    height: null,
  };
  const others = post.variants.filter((each) => each.number !== number);
  const variants = [...others, { ...known, ...part }].sort(
    (one, other) => one.number - other.number,
  );
  return { ...post, variants };
}
