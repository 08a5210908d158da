/** The captions and pictures of a post, those to come included. */

import { clsx } from "clsx";
import { useTranslation } from "react-i18next";
import { Caption } from "./Caption";
import { PostPicture } from "./PostPicture";
import { PLATFORMS } from "./platforms";
import { isRunning, type Post, type Variant } from "./posts";

export function PostVariants({ post }: { post: Post }) {
  const { t } = useTranslation();
  const variants = expected(post);
  if (variants.length === 0) return null;
  const one = variants.length === 1;
  return (
    <ul className={clsx("grid gap-5", one ? "grid-cols-1" : "sm:grid-cols-2")}>
      {variants.map((variant) => (
        <li
          key={variant.number}
          aria-label={t("social.variant", { number: variant.number })}
          className={clsx("grid min-w-0 content-start gap-3", one && "sm:grid-cols-2")}
        >
          <PostPicture post={post} variant={variant} size={sizeOf(post, variant)} />
          {/* Another post's text is another text. */}
          <Caption key={post.id} post={post} variant={variant} />
        </li>
      ))}
    </ul>
  );
}

/** What is there, and while it is made a place for what is to come. */
function expected(post: Post): readonly Variant[] {
  if (!isRunning(post)) return post.variants;
  const most = Math.max(post.asked ?? 1, ...post.variants.map((each) => each.number));
  return Array.from(
    { length: most },
    (_, index) =>
      post.variants.find((each) => each.number === index + 1) ?? {
        number: index + 1,
        caption: null,
        image_url: null,
        width: null,
        height: null,
      },
  );
}

function sizeOf(post: Post, variant: Variant): { width: number; height: number } {
  const usual = PLATFORMS[post.platform ?? "instagram"];
  return { width: variant.width ?? usual.width, height: variant.height ?? usual.height };
}
