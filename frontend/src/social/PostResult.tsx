/** A post: how far it is, what it became, or why it did not. */

import type { UseQueryResult } from "@tanstack/react-query";
import { RotateCw, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/problem";
import { Button, IconButton } from "../design/Button";
import { Card } from "../design/Card";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import { Skeleton } from "../design/Skeleton";
import { wantedAgain } from "./generation";
import { PostProgress } from "./PostProgress";
import { PostVariants } from "./PostVariants";
import { type NewPost, PLATFORMS } from "./platforms";
import { isRunning, type Post } from "./posts";
import type { Watching } from "./watching";

interface Props {
  id: string | null;
  post: UseQueryResult<Post>;
  watching: Watching;
  /** Another each time that the focus is to come here. */
  moved: string | null;
  busy: boolean;
  generate: (wanted: NewPost) => void;
  close: () => void;
}

export function PostResult({ id, post, watching, moved, busy, generate, close }: Props) {
  const { t } = useTranslation();
  const heading = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (moved === null || heading.current === null) return;
    heading.current.focus({ preventScroll: true });
    // Below the form, as on a phone, or above the list of posts.
    const { top } = heading.current.getBoundingClientRect();
    if (top < 0 || top > window.innerHeight / 2) heading.current.scrollIntoView();
  }, [moved]);
  if (id === null) {
    return (
      <p className="flex min-h-48 items-center justify-center rounded-card border border-edge border-dashed p-6 text-center text-soft lg:min-h-96">
        {t("social.nothingYet")}
      </p>
    );
  }
  const platform = post.data?.platform;
  return (
    <Card
      title={
        <span ref={heading} tabIndex={-1} className="scroll-mt-32 outline-none">
          {platform
            ? t("social.postFor", { platform: PLATFORMS[platform].title })
            : t("social.post")}
        </span>
      }
      actions={
        <IconButton
          label={t("social.close")}
          icon={<X aria-hidden className="size-5" />}
          onClick={close}
        />
      }
    >
      {isUnknown(post.error) ? (
        <Notice
          kind="error"
          title={t("social.unknown")}
          action={<Button onClick={close}>{t("social.newPost")}</Button>}
        />
      ) : post.isError ? (
        <ProblemNotice error={post.error} retry={() => void post.refetch()} />
      ) : null}
      {post.data ? (
        <>
          {isRunning(post.data) ? <PostProgress post={post.data} watching={watching} /> : null}
          <Ended post={post.data} busy={busy} generate={generate} />
          <PostVariants post={post.data} />
        </>
      ) : post.isError ? null : (
        <Skeleton className="h-96" />
      )}
    </Card>
  );
}

/** Nobody has a post of that name, or what the address names is not even a name of one. */
function isUnknown(error: unknown): boolean {
  return error instanceof Problem && (error.status === 404 || error.status === 422);
}

function Ended({
  post,
  busy,
  generate,
}: {
  post: Post;
  busy: boolean;
  generate: (wanted: NewPost) => void;
}) {
  const { t } = useTranslation();
  const refunded = post.credits_refunded ?? 0;
  const why = (
    <>
      {post.reason ? <p>{t(`social.reasons.${post.reason}`)}</p> : null}
      {refunded > 0 ? <p>{t("social.refunded", { count: refunded })}</p> : null}
    </>
  );
  const wanted = wantedAgain(post);
  return (
    <>
      {/* Always here: what is put into it is announced. */}
      <p role="status" className="sr-only">
        {post.state === "done" ? t("social.ready") : ""}
      </p>
      {post.state === "failed" ? (
        <Notice
          kind="error"
          title={t("social.failed")}
          action={
            wanted && post.reason !== "quota_exceeded" ? (
              <Button
                aria-disabled={busy}
                icon={<RotateCw aria-hidden className="size-4" />}
                onClick={() => generate(wanted)}
              >
                {t("social.retry", { count: wanted.variants })}
              </Button>
            ) : null
          }
        >
          {why}
        </Notice>
      ) : null}
      {post.state === "done" && refunded > 0 ? (
        <Notice kind="warning" title={t("social.partly", { count: refunded })}>
          {why}
        </Notice>
      ) : null}
      {post.stub ? (
        <Notice kind="note" title={t("social.stub")}>
          {t("social.stubDetail")}
        </Notice>
      ) : null}
    </>
  );
}
