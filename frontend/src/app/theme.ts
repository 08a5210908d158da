/** Light, dark, or as the system is; public/theme.js sets it before the first paint. */

import { browserMemory } from "./memory";

export type Theme = "system" | "light" | "dark";

const KEPT = "weir.theme";
const told = new Set<() => void>();

/** The theme that this tab shows. */
export function shownTheme(): Theme {
  return themeOf(document.documentElement.dataset.theme);
}

export function chooseTheme(theme: Theme): void {
  browserMemory.keep(KEPT, theme === "system" ? null : theme);
  show(theme);
}

/** Tells of each change of what is shown, until what is returned is called. */
export function onTheme(changed: () => void): () => void {
  told.add(changed);
  return () => told.delete(changed);
}

/** Shows from now on what is chosen in another tab, too. */
export function followTheme(): void {
  window.addEventListener("storage", ({ key }) => {
    // Null: everything was cleared.
    if (key === KEPT || key === null) show(themeOf(browserMemory.recall(KEPT)));
  });
}

function show(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const each of told) each();
}

function themeOf(text: string | null | undefined): Theme {
  return text === "light" || text === "dark" ? text : "system";
}
