/** A caption: to copy, and to change where it stands. */

import { Pencil, Undo2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { tabMemory } from "../app/memory";
import { Button } from "../design/Button";
import { CopyButton } from "../design/CopyButton";
import { TextArea } from "../design/Field";
import { ScrollRegion } from "../design/ScrollRegion";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { characters, PLATFORMS } from "./platforms";
import type { Post, Variant } from "./posts";

export function Caption({ post, variant }: { post: Post; variant: Variant }) {
  const { t } = useTranslation();
  if (variant.caption === null) {
    return (
      <div className="flex flex-col gap-2">
        <p className="text-soft text-sm">{t("social.progress.writing")}</p>
        <Skeleton className="h-4" />
        <Skeleton className="h-4" />
        <Skeleton className="h-4 w-2/3" />
      </div>
    );
  }
  return <Written post={post} variant={variant} caption={variant.caption} />;
}

interface Props {
  post: Post;
  variant: Variant;
  caption: string;
}

function Written({ post, variant, caption }: Props) {
  const { t } = useTranslation();
  const kept = `weir.social.caption.${post.id}.${variant.number}`;
  const [changed, setChanged] = useState(() => tabMemory.recall(kept));
  const [editing, setEditing] = useState(false);
  const area = useRef<HTMLDivElement>(null);
  const edit = useRef<HTMLButtonElement>(null);
  const text = changed ?? caption;
  const length = useLength(text, post);
  useEffect(() => {
    if (editing) area.current?.querySelector("textarea")?.focus();
  }, [editing]);
  const change = (to: string | null) => {
    // Weir keeps the caption that was written; the tab keeps what became of it.
    tabMemory.keep(kept, to);
    setChanged(to);
  };
  const language = post.language === null ? {} : { lang: post.language };
  return (
    <div ref={area} className="flex min-w-0 flex-col gap-2">
      {editing ? (
        <TextArea
          {...language}
          label={t("social.caption")}
          rows={8}
          dir="auto"
          className="max-h-96 [overflow-wrap:anywhere]"
          value={text}
          onChange={(event) => change(event.target.value)}
          hint={length.hint}
          error={length.error}
        />
      ) : (
        <ScrollRegion
          label={t("social.caption")}
          className="max-h-96 overflow-y-auto rounded-lg border border-line px-3 py-2"
        >
          <p {...language} dir="auto" className="whitespace-pre-wrap [overflow-wrap:anywhere]">
            {text}
          </p>
        </ScrollRegion>
      )}
      {editing ? null : (
        <p className={length.error ? "text-bad text-sm" : "text-soft text-sm"}>
          {length.error ?? length.hint}
        </p>
      )}
      <div className="flex flex-wrap gap-2">
        <CopyButton text={text} label={t("social.copy")} />
        <Button
          ref={edit}
          onClick={() => setEditing((before) => !before)}
          icon={<Pencil aria-hidden className="size-4" />}
        >
          {editing ? t("social.endEdit") : t("social.edit")}
        </Button>
        {changed !== null && changed !== caption ? (
          <Button
            kind="quiet"
            onClick={() => {
              change(null);
              // This button is gone now.
              (area.current?.querySelector("textarea") ?? edit.current)?.focus();
            }}
            icon={<Undo2 aria-hidden className="size-4" />}
          >
            {t("social.undoEdit")}
          </Button>
        ) : null}
      </div>
    </div>
  );
}

/** How long a text is for the post's platform, and by how much too long. */
function useLength(text: string, post: Post): { hint: string; error: string | null } {
  const { t } = useTranslation();
  const formats = useFormats();
  const { title, captionCharacters } = PLATFORMS[post.platform ?? "instagram"];
  const length = characters(text);
  const over = length - captionCharacters;
  return {
    hint: t("social.captionLength", {
      length: formats.count(length),
      limit: formats.count(captionCharacters),
      platform: title,
    }),
    error: over > 0 ? t("social.captionTooLong", { count: over, platform: title }) : null,
  };
}
