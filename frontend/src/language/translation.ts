/** Loads the words of the chosen language, and remembers the choice. */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { remember, remembered } from "../app/remembered";
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

/** Opens the translations in the language that was chosen before, or the browser's. */
export async function openTranslations(): Promise<void> {
  await i18next.use(initReactI18next).init({
    fallbackLng: false,
    interpolation: { escapeValue: false },
    react: { useSuspense: false },
    resources: {},
  });
  const chosen = remembered(KEPT);
  await show(chosen !== null && isLanguage(chosen) ? chosen : bestOf(navigator.languages));
}

/** Shows the pages in this language from now on. */
export async function chooseLanguage(language: Language): Promise<void> {
  remember(KEPT, language);
  await show(language);
}

async function show(language: Language): Promise<void> {
  const load = FILES[`../locales/${language}.json`];
  if (load === undefined) throw new Error(`no words for ${language}`);
  if (!i18next.hasResourceBundle(language, "translation")) {
    i18next.addResourceBundle(language, "translation", await load());
  }
  document.documentElement.lang = language;
  document.documentElement.dir = LANGUAGES[language].direction;
  await i18next.changeLanguage(language);
}
