/** Why nothing can be generated: too few credits, when there are new ones, and where there are more. */

import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { PATHS } from "../app/paths";
import { buttonLook } from "../design/Button";
import { Notice } from "../design/Notice";
import { useFormats } from "../language/formats";
import type { Refusal } from "./generation";

export function QuotaUsedUp({ id, refusal }: { id: string; refusal: Refusal }) {
  const { t } = useTranslation();
  const formats = useFormats();
  const { remaining, limit, resets_at } = refusal;
  return (
    <div id={id}>
      <Notice
        kind="warning"
        title={
          remaining > 0 ? t("social.quota.tooFew", { count: remaining }) : t("social.quota.usedUp")
        }
        action={
          <Link to={PATHS.plan} className={buttonLook()}>
            {t("social.quota.plans")}
          </Link>
        }
      >
        {remaining > 0
          ? t("social.quota.tooFewDetail", { date: formats.dateTime(resets_at) })
          : t("social.quota.usedUpDetail", { count: limit, date: formats.dateTime(resets_at) })}
      </Notice>
    </div>
  );
}
