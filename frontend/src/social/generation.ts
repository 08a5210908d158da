/** Asks for posts, and says what each answer means for what the page knows. */

import { type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { Problem } from "../api/problem";
import { creditsChanged, PLAN_KEYS, type Plan } from "../plan/queries";
import { askForPost } from "./asking";
import { MOST_VARIANTS, type NewPost } from "./platforms";
import { type Post, postKey, postsChanged } from "./posts";

/** The list has a new post some hundred milliseconds after it was taken. */
const LISTED_MS = 2000;

/** Where the quota stood when it refused a post. */
export type Refusal = Pick<Plan, "remaining" | "limit" | "resets_at">;

/** What is known stays right also for who leaves the page before the answer. */
export function useGeneration(taken: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: askForPost,
    onSuccess: (post, wanted) => {
      queries.setQueryData<Post>(postKey(post.id), { ...post, asked: wanted.variants });
      taken();
      void creditsChanged(queries);
      void postsChanged(queries);
      // Also for who leaves the page at once.
      setTimeout(() => void postsChanged(queries), LISTED_MS);
    },
    onError: (error) => {
      const refusal = refusalOf(error);
      if (refusal !== null) noteRefusal(queries, refusal);
      if (failedPostOf(error) !== null) {
        taken();
        void creditsChanged(queries);
      }
    },
  });
}

/** What a refusal of the quota says; null: it is none. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof Problem) || error.code !== "quota_exceeded") return null;
  const { remaining, limit, resets_at } = error.members;
  if (typeof remaining !== "number" || typeof limit !== "number") return null;
  return typeof resets_at === "string" ? { remaining, limit, resets_at } : null;
}

/** The post that was taken before and has failed since; null: there is none. */
export function failedPostOf(error: unknown): string | null {
  if (!(error instanceof Problem) || typeof error.members.reason !== "string") return null;
  return typeof error.members.id === "string" ? error.members.id : null;
}

function noteRefusal(queries: QueryClient, refusal: Refusal): void {
  queries.setQueryData<Plan>(PLAN_KEYS.mine, (before) => before && { ...before, ...refusal });
  void queries.invalidateQueries({ queryKey: PLAN_KEYS.mine });
}

/** What a post was asked for; null where that is not known. */
export function wantedAgain(post: Post): NewPost | null {
  const { prompt, platform, tone, language } = post;
  if (prompt === null || platform === null || tone === null || language === null) return null;
  const variants = post.asked ?? post.credits_charged ?? 1;
  return {
    prompt,
    platform,
    tone,
    language,
    variants: Math.min(Math.max(variants, 1), MOST_VARIANTS),
  };
}
