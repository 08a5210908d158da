/** The pages' questions about posts, and what is known of each. */

import {
  type InfiniteData,
  type QueryClient,
  useInfiniteQuery,
  useQuery,
} from "@tanstack/react-query";
import { answerOf, client, type Schemas } from "../api/client";

export type Variant = Schemas["VariantDocument"];
/** `asked`: how many variants were asked for, as far as this page knows. */
export type Post = Schemas["PostDocument"] & { asked?: number };
type PostsPage = Schemas["PostsPage"];

const SOCIAL = "social";
const POSTS = [SOCIAL, "posts"] as const;
const PAGE = 12;
/** So often it is asked again while a post is being made. */
const AGAIN_MS = 2500;

export const postKey = (id: string) => [SOCIAL, "post", id] as const;

export function isRunning(post: Post): boolean {
  return post.state === "queued" || post.state === "generating";
}

/** A post as it was last heard of; events bring it up to date (watching.ts). */
export function usePost(id: string | null) {
  return useQuery({
    queryKey: postKey(id ?? ""),
    queryFn: async ({ signal, client: queries }): Promise<Post> => {
      const path = { post_id: id ?? "" };
      const post = await answerOf(
        client.GET("/social/posts/{post_id}", { params: { path }, signal }),
      );
      const known = queries.getQueryData<Post>(postKey(post.id))?.asked;
      return known === undefined ? post : { ...post, asked: known };
    },
    enabled: id !== null,
    staleTime: (query) =>
      query.state.data && !isRunning(query.state.data) ? Number.POSITIVE_INFINITY : 10_000,
    // The events tell.
    refetchOnWindowFocus: false,
  });
}

/** One's posts, newest first. `shown`: is in it too, though the list lags behind. */
export function usePosts(shown: Post | undefined) {
  const query = useInfiniteQuery({
    queryKey: POSTS,
    queryFn: async ({ pageParam, signal }): Promise<PostsPage> => {
      const query = { limit: PAGE, ...(pageParam === null ? {} : { cursor: pageParam }) };
      const page = await answerOf(client.GET("/social/posts", { params: { query }, signal }));
      return page;
    },
    // Who comes back to the page may have left a post that was being made.
    staleTime: 0,
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: ({ state }) =>
      isExpected(itemsOf(state.data), shown) || itemsOf(state.data).some(isRunning)
        ? AGAIN_MS
        : false,
  });
  return { ...query, items: merged(itemsOf(query.data), shown) };
}

function itemsOf(data: InfiniteData<PostsPage, unknown> | undefined): Post[] {
  return data?.pages.flatMap((page) => page.items) ?? [];
}

/** Whether the list will have it in a moment. */
function isExpected(items: readonly Post[], post: Post | undefined): boolean {
  return post !== undefined && isNewer(post, items) && post.reason !== "quota_exceeded";
}

function isNewer(post: Post, items: readonly Post[]): boolean {
  if (items.some((each) => each.id === post.id)) return false;
  const newest = items[0]?.requested_at;
  return !newest || (post.requested_at !== null && post.requested_at > newest);
}

/** The list with the post in it, as whichever of both has heard more. */
export function merged(items: readonly Post[], post: Post | undefined): Post[] {
  if (post === undefined) return [...items];
  if (isNewer(post, items)) return [post, ...items];
  return items.map((each) => (each.id === post.id && isRunning(each) ? post : each));
}

export async function postsChanged(queries: QueryClient): Promise<void> {
  await queries.invalidateQueries({ queryKey: POSTS });
}

/** Where the pages' own server has a picture: `image_url` may name another way to the same one. */
export function pictureUrl(url: string): string {
  return /\/media\/[0-9a-f]{64}\.(?:png|webp|jpg)$/.exec(url)?.[0] ?? url;
}
