/** A prompt becomes posts: the form, and beside it what is being made. */

import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Card } from "../design/Card";
import { useDraft } from "./draft";
import { failedPostOf, useGeneration } from "./generation";
import { PostForm } from "./PostForm";
import { PostResult } from "./PostResult";
import type { NewPost } from "./platforms";
import { isRunning, usePost } from "./posts";
import { useShownPost } from "./shown_post";
import { useWatching } from "./watching";

export function SocialMediaGenerator() {
  const { t } = useTranslation();
  const { draft, change, taken } = useDraft();
  const { id, moved, show, close } = useShownPost();
  const region = useRef<HTMLDivElement>(null);
  const shown = useRef(id);
  useEffect(() => {
    // Closed by going back: what had the focus may be gone.
    const { activeElement, body } = document;
    if (shown.current !== null && id === null && (activeElement ?? body) === body) {
      document.getElementById("main")?.focus({ preventScroll: true });
    }
    shown.current = id;
  }, [id]);
  const post = usePost(id);
  const watching = useWatching(post.data);
  const generation = useGeneration(taken);
  const showMade = (made: string) =>
    show(made, { focus: focusIsWithin(region.current), step: false });
  const makes = post.data !== undefined && isRunning(post.data) && post.data.asked !== undefined;
  const busy = generation.isPending || makes;
  const generate = (wanted: NewPost) => {
    if (busy) return;
    // Nobody who has left the page is brought back: these are called only while it is there.
    generation.mutate(wanted, {
      onSuccess: (post) => showMade(post.id),
      onError: (error) => {
        const failed = failedPostOf(error);
        if (failed !== null) showMade(failed);
      },
    });
  };
  return (
    <div
      ref={region}
      className="grid items-start gap-5 lg:grid-cols-[minmax(0,24rem)_minmax(0,1fr)]"
    >
      <Card title={t("social.newPost")}>
        <PostForm
          draft={draft}
          change={(part) => {
            change(part);
            // What was wrong with it may be put right now.
            if (generation.isError) generation.reset();
          }}
          busy={busy}
          error={failedPostOf(generation.error) === null ? generation.error : null}
          generate={generate}
          again={() => generation.variables && generate(generation.variables)}
        />
      </Card>
      <PostResult
        id={id}
        post={post}
        watching={watching}
        moved={moved}
        busy={busy}
        generate={(wanted) => {
          change(wanted);
          generate(wanted);
        }}
        close={() => {
          close();
          region.current?.querySelector("textarea")?.focus();
        }}
      />
    </div>
  );
}

/** Whether whoever pressed the button has not gone elsewhere meanwhile. */
function focusIsWithin(element: HTMLElement | null): boolean {
  const { activeElement, body } = document;
  return activeElement === null || activeElement === body || !!element?.contains(activeElement);
}
