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
          <th scope="col" className="w-20 py-1 text-end font-normal sm:w-28">
            {countTitle}
          </th>
          {/* Where it is narrow, the space is the values'; a screen reader has it all the same. */}
          <th scope="col" className="w-px py-1 text-end font-normal sm:w-16">
            <span className="max-sm:sr-only">{t("dashboard.share")}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {bars.map((bar) => (
          <tr key={bar.value}>
            <th scope="row" className="relative py-0.5 text-start font-normal">
              <div
                aria-hidden
                className="absolute inset-y-0.5 start-0 rounded bg-accent-faint forced-colors:border"
                style={{ width: `${bar.length * 100}%` }}
              />
              {choose ? (
                <button
                  type="button"
                  className="relative block w-full rounded px-2 py-1 text-start hover:underline"
                  title={t("dashboard.narrowTo", { value: nameOf(bar.value) })}
                  onClick={() => choose(bar.value)}
                >
                  <Value value={bar.value} name={nameOf(bar.value)} />
                </button>
              ) : (
                <div className="relative px-2 py-1">
                  <Value value={bar.value} name={nameOf(bar.value)} />
                </div>
              )}
            </th>
            <td className="py-0.5 text-end tabular-nums">{formats.count(bar.count)}</td>
            <td className="py-0.5 text-end text-soft tabular-nums">
              <span className="max-sm:sr-only">{formats.percent(bar.share)}</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What has no word of its own, such as a path, begins at the left in every language. */
function Value({ value, name }: { value: string; name: string }) {
  // The beginning is what stays of a long one: what is cut off is at the end of its own direction.
  return name === value ? (
    <bdi dir="ltr" className="block truncate rtl:text-right">
      {name}
    </bdi>
  ) : (
    <bdi className="block truncate">{name}</bdi>
  );
}
