/** A path that no page has. */

import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { buttonLook } from "../design/Button";
import { PATHS } from "./paths";
import { useTitle } from "./title";

export function PageMissing() {
  const { t } = useTranslation();
  useTitle(t("missing.title"));
  return (
    <div className="flex flex-col items-start gap-4">
      <h1 className="font-semibold text-2xl">{t("missing.title")}</h1>
      <Link to={PATHS.dashboard} className={buttonLook()}>
        {t("missing.back")}
      </Link>
    </div>
  );
}
