/** A path that no page has. */

import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { Notice } from "../design/Notice";
import { useTitle } from "./title";

export function PageMissing() {
  const { t } = useTranslation();
  useTitle(t("missing.title"));
  return (
    <Notice
      kind="note"
      title={t("missing.title")}
      action={
        <Link to="/" className="underline">
          {t("missing.back")}
        </Link>
      }
    />
  );
}
