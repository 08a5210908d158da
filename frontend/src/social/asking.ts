/** Asks for a post: the same request that is sent again is charged and made once. */

import { answerOf, client } from "../api/client";
import { Problem } from "../api/problem";
import { tabMemory } from "../app/memory";
import type { NewPost } from "./platforms";
import type { Post } from "./posts";

const KEPT = "weir.social.asked";

interface Asked {
  key: string;
  body: string;
}

/** The post, queued at least. Throws Problem. */
export async function askForPost(wanted: NewPost): Promise<Post> {
  const body = JSON.stringify(wanted);
  const key = keyFor(body);
  try {
    const post = await answerOf(
      client.POST("/social/post", {
        params: { header: { "Idempotency-Key": key, Prefer: "respond-async" } },
        body: wanted,
      }),
    );
    remember(null);
    return post;
  } catch (error) {
    if (!mayHaveBeenTaken(error)) remember(null);
    throw error;
  }
}

/** Whether it is not known what became of it: only the same key is safe then. */
function mayHaveBeenTaken(error: unknown): boolean {
  if (!(error instanceof Problem)) return true;
  return error.mayPass && error.code !== "generation_failed";
}

/** Kept by the tab: who loads the page again and asks for the same does not pay twice. */
function keyFor(body: string): string {
  const before = recalledAsked();
  if (before?.body === body) return before.key;
  const key = randomId();
  remember({ key, body });
  return key;
}

function remember(latest: Asked | null): void {
  tabMemory.keep(KEPT, latest === null ? null : JSON.stringify(latest));
}

function recalledAsked(): Asked | null {
  const text = tabMemory.recall(KEPT);
  if (text === null) return null;
  try {
    return JSON.parse(text) as Asked;
  } catch {
    return null;
  }
}

/** A UUID, also where the page did not come by HTTPS: there `randomUUID` is missing. */
export function randomId(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}
