/** Says once for all cards what could not be answered, and from when that is which still is seen. */

import { type Query, useQueryClient } from "@tanstack/react-query";
import { RotateCw } from "lucide-react";
import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import { ANALYTICS } from "./questions";
import { useWhen } from "./use_when";

const SHOWN = { queryKey: [ANALYTICS], type: "active" } as const;

export function AnswersNotice({ timeZone }: { timeZone: string }) {
  const { t } = useTranslation();
  const when = useWhen(timeZone);
  const queries = useQueryClient();
  const cache = queries.getQueryCache();
  const subscribe = (changed: () => void) => cache.subscribe(changed);
  const failure = useSyncExternalStore(subscribe, () => failureOf(cache.findAll(SHOWN)));
  const since = useSyncExternalStore(subscribe, () => staleSince(cache.findAll(SHOWN)));
  const again = () => void queries.refetchQueries(SHOWN);
  if (failure !== null) return <ProblemNotice error={failure} retry={again} />;
  if (since === null) return null;
  return (
    <Notice
      kind="warning"
      title={t("dashboard.stale", { time: when(new Date(since)) })}
      action={
        <Button icon={<RotateCw aria-hidden className="size-4" />} onClick={again}>
          {t("problem.retry")}
        </Button>
      }
    />
  );
}

interface Asked {
  state: Pick<Query["state"], "data" | "dataUpdatedAt" | "error" | "errorUpdatedAt">;
}

/** Why something that was never answered is not; null: all was. */
export function failureOf(asked: readonly Asked[]): unknown {
  return (
    asked.find(({ state }) => state.data === undefined && state.error !== null)?.state.error ?? null
  );
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
