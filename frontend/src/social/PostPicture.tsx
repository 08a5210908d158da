/** A picture of a post with the way to save it, or its place until it is drawn. */

import { Download, ImageOff } from "lucide-react";
import { type MouseEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { open } from "../api/client";
import { save } from "../api/saving";
import { buttonLook } from "../design/Button";
import { type Post, pictureUrl, type Variant } from "./posts";

interface Props {
  post: Post;
  variant: Variant;
  /** In pixels. */
  size: { width: number; height: number };
}

/** As much of the prompt as an alternative text holds. */
const ABOUT_CHARACTERS = 120;
const PLACE =
  "flex w-full flex-col items-center justify-center gap-2 rounded-lg bg-sunken text-soft";

export function PostPicture({ post, variant, size }: Props) {
  const { t } = useTranslation();
  const [broken, setBroken] = useState<string | null>(null);
  const place = { aspectRatio: `${size.width} / ${size.height}` };
  if (variant.image_url === null) {
    return (
      <p className={`${PLACE} self-start text-sm`} style={place}>
        {t("social.progress.drawing")}
      </p>
    );
  }
  const url = pictureUrl(variant.image_url);
  return (
    <div className="flex min-w-0 flex-col items-start gap-2">
      {broken === url ? (
        <p className={PLACE} style={place}>
          <ImageOff aria-hidden className="size-6" />
          {t("social.pictureBroken")}
        </p>
      ) : (
        <img
          src={url}
          alt={t("social.pictureOf", { about: beginning(post.prompt ?? "") })}
          width={size.width}
          height={size.height}
          className="h-auto w-full rounded-lg bg-sunken"
          onError={() => setBroken(url)}
        />
      )}
      <DownloadLink url={url} name={fileName(post, variant, url)} />
    </div>
  );
}

function DownloadLink({ url, name }: { url: string; name: string }) {
  const { t } = useTranslation();
  const [failed, setFailed] = useState(false);
  const download = async (event: MouseEvent) => {
    event.preventDefault();
    try {
      const response = await open(url);
      save(await response.blob(), name);
      setFailed(false);
    } catch {
      setFailed(true);
    }
  };
  return (
    <>
      <a
        href={url}
        download={name}
        className={buttonLook()}
        onClick={(event) => void download(event)}
      >
        <Download aria-hidden className="size-4" />
        {t("social.download")}
      </a>
      <span role="status" className="text-bad text-sm">
        {failed ? t("social.downloadFailed") : ""}
      </span>
    </>
  );
}

function beginning(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  const some = Array.from(line);
  return some.length > ABOUT_CHARACTERS ? `${some.slice(0, ABOUT_CHARACTERS).join("")}…` : line;
}

/** Such as instagram-2026-11-24-2.png. */
export function fileName(post: Post, variant: Variant, url: string): string {
  const kind = /\.(png|webp|jpg)$/.exec(url)?.[1] ?? "png";
  const day = (post.requested_at ?? new Date().toISOString()).slice(0, 10);
  return `${post.platform ?? "post"}-${day}-${variant.number}.${kind}`;
}
