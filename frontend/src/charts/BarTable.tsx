/** Counted values as a table whose rows are bars: read as well as seen. */

import { useTranslation } from "react-i18next";
import { useFormats } from "../language/formats";
import type { Bar } from "./bars";

interface Props {
  caption: string;
  /** Heads the values and their counts. */
  valueTitle: string;
  countTitle: string;
  bars: readonly Bar[];
  /** How a value reads. */
  nameOf: (value: string) => string;
  /** Narrows the page to a value; not set: values are no buttons. */
  choose?: ((value: string) => void) | undefined;
}

export function BarTable({ caption, valueTitle, countTitle, bars, nameOf, choose }: Props) {
  const { t } = useTranslation();
  const formats = useFormats();
  return (
    <table className="w-full table-fixed border-collapse text-sm">
      <caption className="sr-only">{caption}</caption>
      <thead className="text-soft">
        <tr>
          <th scope="col" className="py-1 text-start font-normal">
            {valueTitle}
          </th>
          <th scope="col" className="w-28 py-1 text-end font-normal">
            {countTitle}
          </th>
          <th scope="col" className="w-16 py-1 text-end font-normal">
            {t("dashboard.share")}
          </th>
        </tr>
      </thead>
      <tbody>
        {bars.map((bar) => (
          <tr key={bar.value}>
            <th scope="row" className="relative py-0.5 text-start font-normal">
              <div
                aria-hidden
                className="absolute inset-y-0.5 start-0 rounded bg-accent-faint"
                style={{ width: `${bar.length * 100}%` }}
              />
              {choose ? (
                <button
                  type="button"
                  className="relative block w-full truncate rounded px-2 py-1 text-start hover:underline"
                  title={t("dashboard.narrowTo", { value: nameOf(bar.value) })}
                  onClick={() => choose(bar.value)}
                >
                  <bdi>{nameOf(bar.value)}</bdi>
                </button>
              ) : (
                <span className="relative block truncate px-2 py-1">
                  <bdi>{nameOf(bar.value)}</bdi>
                </span>
              )}
            </th>
            <td className="py-0.5 text-end tabular-nums">{formats.count(bar.count)}</td>
            <td className="py-0.5 text-end text-soft tabular-nums">{formats.percent(bar.share)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
