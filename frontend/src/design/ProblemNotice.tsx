/** A question that failed: what happened, and the way to try again. */

import { RotateCw } from "lucide-react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/problem";
import { Button } from "./Button";
import { Notice } from "./Notice";

interface Props {
  error: unknown;
  retry?: () => void;
}

export function ProblemNotice({ error, retry }: Props) {
  const { t } = useTranslation();
  return (
    <Notice
      kind="error"
      title={titleOf(error, t)}
      action={
        retry && mayHelp(error) ? (
          <Button onClick={retry} icon={<RotateCw aria-hidden className="size-4" />}>
            {t("problem.retry")}
          </Button>
        ) : null
      }
    >
      {error instanceof Problem && error.status > 0 ? error.detail : null}
    </Notice>
  );
}

/** Whether asking the same again may be answered otherwise. */
function mayHelp(error: unknown): boolean {
  return !(error instanceof Problem) || error.mayPass;
}

function titleOf(error: unknown, t: ReturnType<typeof useTranslation>["t"]): string {
  if (!(error instanceof Problem)) return t("problem.unexpected");
  if (error.status === 0) return t("problem.unreachable");
  if (error.status === 403) return t("problem.forbidden");
  if (error.status === 429) return t("problem.tooMany");
  return error.status >= 500 ? t("problem.unavailable") : t("problem.refused");
}
