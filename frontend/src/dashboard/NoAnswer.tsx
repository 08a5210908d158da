/** In the place of what could not be asked; why, and the way to try again, stand above once. */

import { useTranslation } from "react-i18next";

export function NoAnswer() {
  const { t } = useTranslation();
  return <p className="py-6 text-center text-soft">{t("dashboard.noAnswer")}</p>;
}
