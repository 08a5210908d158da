/** The languages there are; each is a file in ../locales, loaded when it is chosen. */

export const LANGUAGES = {
  en: { title: "English", direction: "ltr" },
  de: { title: "Deutsch", direction: "ltr" },
  es: { title: "Español", direction: "ltr" },
  fr: { title: "Français", direction: "ltr" },
  ja: { title: "日本語", direction: "ltr" },
  ar: { title: "العربية", direction: "rtl" },
} as const;

export type Language = keyof typeof LANGUAGES;

export function isLanguage(text: string): text is Language {
  return text in LANGUAGES;
}

/** The first of the wanted languages that there is: `de-AT` is `de`. */
export function bestOf(wanted: readonly string[]): Language {
  for (const each of wanted) {
    const language = each.toLowerCase().split("-")[0] ?? "";
    if (isLanguage(language)) return language;
  }
  return "en";
}
