/** Languages to choose from for a caption; the API takes any BCP 47 tag. */

const TAGS = [
  "ar",
  "bn",
  "bg",
  "zh-Hans",
  "zh-Hant",
  "hr",
  "cs",
  "da",
  "nl",
  "en",
  "fi",
  "fr",
  "de",
  "el",
  "he",
  "hi",
  "hu",
  "id",
  "it",
  "ja",
  "ko",
  "ms",
  "nb",
  "fa",
  "pl",
  "pt",
  "pt-BR",
  "ro",
  "ru",
  "sk",
  "es",
  "sw",
  "sv",
  "th",
  "tr",
  "uk",
  "ur",
  "vi",
];

/** By their names in the language of the pages, in its order. */
export function captionLanguages(language: string): { value: string; title: string }[] {
  const names = new Intl.DisplayNames([language], { type: "language" });
  return TAGS.map((value) => ({ value, title: names.of(value) ?? value })).sort((one, other) =>
    one.title.localeCompare(other.title, language),
  );
}
