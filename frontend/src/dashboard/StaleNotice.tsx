/** Says when what is seen is old, because the API does not answer. */

import { useQueryClient } from "@tanstack/react-query";
import { RotateCw } from "lucide-react";
import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Notice } from "../design/Notice";
import { useFormats } from "../language/formats";
import { ANALYTICS } from "./questions";

export function StaleNotice({ timeZone }: { timeZone: string }) {
  const { t } = useTranslation();
  const formats = useFormats(timeZone);
  const queries = useQueryClient();
  const since = useSyncExternalStore(
    (changed) => queries.getQueryCache().subscribe(changed),
    () => staleSince(queries.getQueryCache().findAll({ queryKey: [ANALYTICS], type: "active" })),
  );
  if (since === null) return null;
  return (
    <Notice
      kind="warning"
      title={t("dashboard.stale", { time: formats.time(new Date(since)) })}
      action={
        <Button
          icon={<RotateCw aria-hidden className="size-4" />}
          onClick={() => void queries.refetchQueries({ queryKey: [ANALYTICS], type: "active" })}
        >
          {t("problem.retry")}
        </Button>
      }
    />
  );
}

interface Asked {
  state: { dataUpdatedAt: number; errorUpdatedAt: number; status: string; data: unknown };
}

/** When the oldest of what is shown was answered, if the last attempt to ask again failed. */
export function staleSince(asked: readonly Asked[]): number | null {
  const failed = asked.filter(
    ({ state }) => state.data !== undefined && state.errorUpdatedAt > state.dataUpdatedAt,
  );
  return failed.reduce<number | null>(
    (oldest, { state }) => Math.min(oldest ?? Number.POSITIVE_INFINITY, state.dataUpdatedAt),
    null,
  );
}
