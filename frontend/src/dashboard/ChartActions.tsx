/** What one can do with any chart: read it as a table where it is none, and save its numbers. */

import { Download, LineChart, Table } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { save } from "../api/saving";
import { IconButton } from "../design/Button";

interface Props {
  /** Of the card, so that one button is told from the other. */
  title: string;
  asTable?: boolean;
  setAsTable?: (asTable: boolean) => void;
  /** The numbers of this moment as CSV; null: they are not there yet. */
  csv: (() => Promise<Blob> | Blob) | null;
  /** Of the file, without its ending. */
  name: string;
}

export function ChartActions({ title, asTable, setAsTable, csv, name }: Props) {
  const { t } = useTranslation();
  const [state, setState] = useState<"idle" | "saving" | "failed">("idle");
  const download = async () => {
    if (state === "saving" || csv === null) return;
    setState("saving");
    try {
      save(await csv(), `${name}.csv`);
      setState("idle");
    } catch {
      setState("failed");
    }
  };
  return (
    <div className="flex items-center">
      <span role="status" className="text-bad text-sm">
        {state === "failed" ? t("dashboard.notSaved") : ""}
      </span>
      {setAsTable ? (
        <IconButton
          label={asTable ? t("dashboard.asChart") : t("dashboard.asTable")}
          icon={
            asTable ? (
              <LineChart aria-hidden className="size-4" />
            ) : (
              <Table aria-hidden className="size-4" />
            )
          }
          onClick={() => setAsTable(!asTable)}
        />
      ) : null}
      <IconButton
        label={t("dashboard.saveCsv", { title })}
        icon={<Download aria-hidden className="size-4" />}
        aria-disabled={state === "saving" || csv === null}
        onClick={() => void download()}
      />
    </div>
  );
}
