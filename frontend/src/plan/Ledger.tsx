/** Every change of the user's credits, newest first. */

import { useTranslation } from "react-i18next";
import { Card } from "../design/Card";
import { DataTable } from "../design/DataTable";
import { ProblemNotice } from "../design/ProblemNotice";
import { ShowMore } from "../design/ShowMore";
import { Skeleton } from "../design/Skeleton";
import { useFormats } from "../language/formats";
import { signedCredits } from "./credits";
import { type UsageItem, useUsage } from "./queries";

export function Ledger() {
  const { t } = useTranslation();
  return (
    <Card title={t("plan.ledger.title")}>
      <Changes />
    </Card>
  );
}

function Changes() {
  const { t, i18n } = useTranslation();
  const formats = useFormats();
  const usage = useUsage();
  if (usage.data === undefined) {
    return usage.isError ? (
      <ProblemNotice error={usage.error} retry={() => void usage.refetch()} />
    ) : (
      <Skeleton className="h-96" />
    );
  }
  const items = usage.data.pages.flatMap((page) => page.items);
  if (items.length === 0) return <p className="text-soft">{t("plan.ledger.empty")}</p>;
  return (
    <>
      <DataTable<UsageItem>
        caption={t("plan.ledger.table")}
        rows={items}
        rowKey={(item) => item.id}
        columns={[
          {
            title: t("plan.ledger.change"),
            cell: (item) => (
              <>
                <span className="[overflow-wrap:anywhere]">
                  {t(`plan.kinds.${item.kind}`)} <bdi className="text-soft">{item.reason}</bdi>
                </span>
                <time dateTime={item.at} className="block text-soft text-xs">
                  {formats.dateTime(item.at)}
                </time>
              </>
            ),
          },
          {
            title: t("plan.ledger.credits"),
            number: true,
            cell: (item) => <bdi>{signedCredits(item.credits, i18n.language)}</bdi>,
          },
          {
            title: t("plan.ledger.remaining"),
            number: true,
            cell: (item) => formats.count(item.remaining),
          },
        ]}
      />
      <ShowMore
        more={usage.hasNextPage}
        loading={usage.isFetchingNextPage}
        error={usage.isFetchNextPageError ? usage.error : null}
        show={() => void usage.fetchNextPage()}
        words={{
          show: t("plan.ledger.more"),
          loading: t("plan.ledger.loading"),
          all: t("plan.ledger.all"),
        }}
      />
    </>
  );
}
