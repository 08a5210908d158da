/** Numbers and times as the chosen language writes them. */

import { useMemo } from "react";
import { useTranslation } from "react-i18next";

export interface Formats {
  count: (value: number) => string;
  /** Short where space is scarce: 12.3K. */
  compact: (value: number) => string;
  percent: (share: number, digits?: number) => string;
  /** A signed percentage: +12 %. */
  change: (share: number) => string;
  /** `amount`: in whole units, exact, as the API writes it. */
  money: (amount: string, currency: string) => string;
  date: (moment: Date | string) => string;
  dateTime: (moment: Date | string) => string;
  time: (moment: Date | string) => string;
}

export function formatsOf(language: string, timeZone?: string): Formats {
  const zone = timeZone === undefined ? {} : { timeZone };
  const count = new Intl.NumberFormat(language);
  const compact = new Intl.NumberFormat(language, {
    notation: "compact",
    maximumFractionDigits: 1,
  });
  const change = new Intl.NumberFormat(language, {
    style: "percent",
    maximumFractionDigits: 1,
    signDisplay: "exceptZero",
  });
  const date = new Intl.DateTimeFormat(language, { dateStyle: "medium", ...zone });
  const dateTime = new Intl.DateTimeFormat(language, {
    dateStyle: "medium",
    timeStyle: "short",
    ...zone,
  });
  const time = new Intl.DateTimeFormat(language, { timeStyle: "medium", ...zone });
  return {
    count: (value) => count.format(value),
    compact: (value) => compact.format(value),
    percent: (share, digits = 1) =>
      new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(
        share,
      ),
    change: (share) => change.format(share),
    money: (amount, currency) =>
      new Intl.NumberFormat(language, {
        style: "currency",
        currency,
        maximumFractionDigits: Math.max(2, (amount.split(".")[1] ?? "").length),
        // A decimal in text is formatted exactly, which a number would not be.
      }).format(amount as `${number}`),
    date: (moment) => date.format(new Date(moment)),
    dateTime: (moment) => dateTime.format(new Date(moment)),
    time: (moment) => time.format(new Date(moment)),
  };
}

export function useFormats(timeZone?: string): Formats {
  const { i18n } = useTranslation();
  return useMemo(() => formatsOf(i18n.language, timeZone), [i18n.language, timeZone]);
}
