/** Loads the words of the chosen language, and remembers the choice. */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { browserMemory } from "../app/memory";
import type en from "../locales/en.json";
import { bestOf, isLanguage, LANGUAGES, type Language } from "./languages";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en };
  }
}

const KEPT = "weir.language";
const FILES = import.meta.glob<typeof en>("../locales/*.json", { import: "default" });

/**
 * Opens the translations in the language that was chosen before, or the browser's; in English where
 * its file cannot be loaded. Throws when that cannot be loaded either.
 *
 * What is chosen in another tab is shown in this one from then on.
 */
export async function openTranslations(): Promise<void> {
  await i18next.use(initReactI18next).init({
    fallbackLng: false,
    interpolation: { escapeValue: false },
    react: { useSuspense: false },
    resources: {},
  });
  const wanted = wantedLanguage();
  try {
    await show(wanted);
  } catch (error) {
    if (wanted === "en") throw error;
    await show("en");
  }
  window.addEventListener("storage", ({ key, newValue }) => {
    if (key !== KEPT || newValue === null || !isLanguage(newValue)) return;
    // Without its file this tab stays as it is.
    show(newValue).catch(() => {});
  });
}

/** Shows the pages in this language from now on. Throws when its file cannot be loaded. */
export async function chooseLanguage(language: Language): Promise<void> {
  // Remembered when it is there: one that cannot be loaded would be wanted at each start.
  if (await show(language)) browserMemory.keep(KEPT, language);
}

function wantedLanguage(): Language {
  const chosen = browserMemory.recall(KEPT);
  return chosen !== null && isLanguage(chosen) ? chosen : bestOf(navigator.languages);
}

/** Which one was asked for last: a file that comes late does not undo a later choice. */
let latest: Language | null = null;

/** False: another one was asked for meanwhile. */
async function show(language: Language): Promise<boolean> {
  latest = language;
  const load = FILES[`../locales/${language}.json`];
  if (load === undefined) throw new Error(`no words for ${language}`);
  if (!i18next.hasResourceBundle(language, "translation")) {
    i18next.addResourceBundle(language, "translation", await load());
  }
  if (latest !== language) return false;
  document.documentElement.lang = language;
  document.documentElement.dir = LANGUAGES[language].direction;
  await i18next.changeLanguage(language);
  return true;
}
