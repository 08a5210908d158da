/** How the values of a dimension read in the chosen language. */

import type { TFunction } from "i18next";
import type { Dimension } from "./view";

const DEVICES = ["desktop", "mobile", "tablet"] as const;

export function valueName(
  dimension: Dimension | "event_type",
  value: string,
  t: TFunction,
  language: string,
): string {
  if (value === "")
    return dimension === "referrer" ? t("dashboard.direct") : t("dashboard.unknown");
  if (dimension === "country" && /^[A-Z]{2}$/.test(value)) {
    return new Intl.DisplayNames(language, { type: "region", fallback: "code" }).of(value) ?? value;
  }
  if (dimension === "device") {
    const device = DEVICES.find((each) => each === value);
    if (device !== undefined) return t(`dashboard.device.${device}`);
  }
  if (dimension === "event_type") return eventName(value, t);
  return value;
}

export function eventName(type: string, t: TFunction): string {
  if (type === "page_view") return t("dashboard.pageView");
  if (type === "conversion") return t("dashboard.conversion");
  return type;
}
