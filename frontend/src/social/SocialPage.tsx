/** Making posts, and those that were made. */

import { useTranslation } from "react-i18next";
import { useTitle } from "../app/title";
import { PostHistory } from "./PostHistory";
import { SocialMediaGenerator } from "./SocialMediaGenerator";

export function SocialPage() {
  const { t } = useTranslation();
  useTitle(t("social.title"));
  return (
    <div className="flex flex-col gap-5">
      <h1 className="font-semibold text-2xl">{t("social.title")}</h1>
      <SocialMediaGenerator />
      <PostHistory />
    </div>
  );
}
