/** One's posts, newest first, those that are being made included. */

import { useQueryClient } from "@tanstack/react-query";
import { clsx } from "clsx";
import { Check, CircleAlert, Clock, ImageIcon, LoaderCircle } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Card } from "../design/Card";
import { ProblemNotice } from "../design/ProblemNotice";
import { ShowMore } from "../design/ShowMore";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { PLATFORMS } from "./platforms";
import { isRunning, type Post, pictureUrl, postKey, usePost, usePosts } from "./posts";
import { useShownPost } from "./shown_post";

const GRID = "grid gap-3 sm:grid-cols-2 lg:grid-cols-3";

export function PostHistory() {
  const { t } = useTranslation();
  return (
    <Card title={t("social.history.title")}>
      <Posts />
    </Card>
  );
}

function Posts() {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const { id, show } = useShownPost();
  const shown = usePost(id);
  const posts = usePosts(shown.data);
  const pick = (post: Post) => {
    queries.setQueryData<Post>(postKey(post.id), (before) =>
      before && !(isRunning(before) && !isRunning(post)) ? before : post,
    );
    show(post.id, { focus: true, step: post.id !== id });
  };
  if (posts.data === undefined && !posts.isError && posts.items.length === 0) {
    return (
      <div className={GRID}>
        <Skeleton className="h-24" />
        <Skeleton className="h-24" />
        <Skeleton className="h-24" />
      </div>
    );
  }
  const failed = posts.isError && !posts.isFetchNextPageError;
  return (
    <>
      {failed ? <ProblemNotice error={posts.error} retry={() => void posts.refetch()} /> : null}
      {posts.items.length > 0 ? (
        <ul className={GRID}>
          {posts.items.map((post) => (
            <PostItem key={post.id} post={post} current={post.id === id} pick={() => pick(post)} />
          ))}
        </ul>
      ) : failed ? null : (
        <p className="text-soft">{t("social.history.empty")}</p>
      )}
      <ShowMore
        more={posts.hasNextPage}
        loading={posts.isFetchingNextPage}
        error={posts.isFetchNextPageError ? posts.error : null}
        show={() => void posts.fetchNextPage()}
        words={{
          show: t("social.history.more"),
          loading: t("social.history.loading"),
          all: t("social.history.all"),
        }}
      />
    </>
  );
}

function PostItem({ post, current, pick }: { post: Post; current: boolean; pick: () => void }) {
  const formats = useFormats();
  const text = post.caption ?? post.prompt ?? "";
  return (
    <li className="min-w-0">
      <button
        type="button"
        onClick={pick}
        aria-current={current}
        className={clsx(
          "flex size-full items-start gap-3 rounded-lg border p-3 text-start transition-colors",
          current ? "border-accent bg-accent-faint" : "border-line hover:bg-sunken",
        )}
      >
        <Thumbnail post={post} />
        <span className="flex min-w-0 flex-1 flex-col gap-1">
          <span
            dir="auto"
            className="line-clamp-2 text-sm [overflow-wrap:anywhere]"
            lang={post.caption === null ? undefined : (post.language ?? undefined)}
          >
            {beginning(text)}
          </span>
          <span className="flex flex-wrap items-center gap-x-2 gap-y-0.5 text-soft text-xs">
            <State post={post} />
            {post.platform ? <span>{PLATFORMS[post.platform].title}</span> : null}
            {post.requested_at ? (
              <time dateTime={post.requested_at}>{formats.dateTime(post.requested_at)}</time>
            ) : null}
          </span>
        </span>
      </button>
    </li>
  );
}

function Thumbnail({ post }: { post: Post }) {
  const look = "size-16 shrink-0 rounded-md bg-sunken object-cover";
  if (post.image_url !== null) {
    return (
      <img
        src={pictureUrl(post.image_url)}
        alt=""
        loading="lazy"
        width={64}
        height={64}
        className={look}
      />
    );
  }
  return (
    <span className={clsx(look, "flex items-center justify-center text-soft")}>
      <ImageIcon aria-hidden className="size-5" />
    </span>
  );
}

const STATES = {
  queued: { icon: Clock, look: "" },
  generating: { icon: LoaderCircle, look: "animate-spin text-accent" },
  done: { icon: Check, look: "text-good" },
  failed: { icon: CircleAlert, look: "text-bad" },
};

function State({ post }: { post: Post }) {
  const { t } = useTranslation();
  const { icon: Icon, look } = STATES[post.state];
  return (
    <span className="inline-flex items-center gap-1 font-medium text-ink">
      <Icon aria-hidden className={clsx("size-3.5", look)} />
      {t(`social.states.${post.state}`)}
    </span>
  );
}

/** More than two lines hold; the rest need not be in the page twelve times. */
function beginning(text: string): string {
  return text.length > 300 ? Array.from(text.slice(0, 300)).slice(0, -1).join("") : text;
}
