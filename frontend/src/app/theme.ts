/** Light, dark, or as the system is; public/theme.js sets it before the first paint. */

import { remember, remembered } from "./remembered";

export type Theme = "system" | "light" | "dark";

const KEPT = "weir.theme";

export function chosenTheme(): Theme {
  const kept = remembered(KEPT);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function chooseTheme(theme: Theme): void {
  remember(KEPT, theme === "system" ? null : theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
