/** Why a page of Stripe's could not be opened, and what one can do. */

import { useTranslation } from "react-i18next";
import { Problem } from "../api/problem";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import type { StripePage } from "./stripe_pages";

interface Props {
  error: unknown;
  page: StripePage | undefined;
  retry: () => void;
}

export function StripeProblem({ error, page, retry }: Props) {
  const { t } = useTranslation();
  if (error instanceof Problem) {
    if (error.code === "stripe_not_set_up") {
      return (
        <Notice kind="warning" title={t("plan.stripe.notSetUp")}>
          {t("plan.stripe.notSetUpDetail")}
        </Notice>
      );
    }
    if (error.status === 409) {
      const words = page === "portal" ? "noCustomer" : "subscribesAlready";
      return (
        <Notice kind="warning" title={t(`plan.stripe.${words}`)}>
          {t(`plan.stripe.${words}Detail`)}
        </Notice>
      );
    }
    if (error.status === 422) {
      return (
        <Notice kind="warning" title={t("plan.stripe.notSold")}>
          {error.detail}
        </Notice>
      );
    }
  }
  return <ProblemNotice error={error} retry={retry} />;
}
