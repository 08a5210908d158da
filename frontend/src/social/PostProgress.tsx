/** How far a post is that is being made. */

import { LoaderCircle } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ProblemNotice } from "../design/ProblemNotice";
import type { Post } from "./posts";
import type { Watching } from "./watching";

export function PostProgress({ post, watching }: { post: Post; watching: Watching }) {
  const { t } = useTranslation();
  if (watching.error) return <ProblemNotice error={watching.error} retry={watching.again} />;
  const captions = post.variants.filter((each) => each.caption !== null).length;
  const pictures = post.variants.filter((each) => each.image_url !== null).length;
  const all = Math.max(post.asked ?? 1, post.variants.length);
  const words =
    post.state === "queued"
      ? [t("social.progress.queued")]
      : captions === 0 && pictures === 0
        ? [t("social.progress.generating")]
        : [
            t("social.progress.captions", { ready: captions, count: all }),
            t("social.progress.pictures", { ready: pictures, count: all }),
          ];
  return (
    <div role="status" className="flex items-start gap-2.5 rounded-card bg-sunken p-4">
      <LoaderCircle aria-hidden className="mt-0.5 size-5 shrink-0 animate-spin text-accent" />
      <div className="min-w-0">
        {words.map((each) => (
          <p key={each} className="font-medium">
            {each}
          </p>
        ))}
        <p className="text-soft text-sm">
          {watching.connected ? t("social.progress.leave") : t("social.progress.disconnected")}
        </p>
      </div>
    </div>
  );
}
