/** Every language has every word, and no word that nobody shows. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LANGUAGES } from "../src/language/languages";

const SRC = join(import.meta.dirname, "..", "src");
const LOCALES = join(SRC, "locales");
const PLURAL = /_(zero|one|two|few|many|other)$/;

type Words = { [key: string]: string | Words };

function flat(words: Words, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(words)) {
    if (typeof value === "string") found.set(prefix + key, value);
    else for (const [inner, text] of flat(value, `${prefix}${key}.`)) found.set(inner, text);
  }
  return found;
}

function wordsOf(language: string): Map<string, string> {
  return flat(JSON.parse(readFileSync(join(LOCALES, `${language}.json`), "utf8")) as Words);
}

/** Keys without the endings of plurals, which differ by language. */
function stems(words: Map<string, string>): Set<string> {
  return new Set([...words.keys()].map((key) => key.replace(PLURAL, "")));
}

function sources(): string {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$/.test(file))
    .map((file) => readFileSync(join(SRC, file), "utf8"))
    .join("\n");
}

const english = wordsOf("en");

test("each language has a file, and each file a language", () => {
  expect(readdirSync(LOCALES).sort()).toEqual(
    Object.keys(LANGUAGES)
      .map((language) => `${language}.json`)
      .sort(),
  );
});

test.each(Object.keys(LANGUAGES))("%s has exactly the words that English has", (language) => {
  expect([...stems(wordsOf(language))].sort()).toEqual([...stems(english)].sort());
});

test.each(Object.keys(LANGUAGES))("%s has every plural that it needs", (language) => {
  const words = wordsOf(language);
  const plurals = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
  for (const key of english.keys()) {
    if (!key.endsWith("_other")) continue;
    const stem = key.replace(PLURAL, "");
    const missing = plurals.filter((each) => !words.has(`${stem}_${each}`));
    expect(missing, stem).toEqual([]);
  }
});

test.each(Object.keys(LANGUAGES))(
  "%s fills in what English fills in, and is not empty",
  (language) => {
    const placeholders = (text: string) =>
      [...text.matchAll(/{{(\w+)(?:, *\w+)?}}/g)].map((each) => each[1]).sort();
    for (const [key, text] of wordsOf(language)) {
      expect(text.trim(), key).not.toBe("");
      const original = english.get(key) ?? english.get(key.replace(PLURAL, "_other")) ?? "";
      // A plural may say "one" in words.
      const needed = new Set(placeholders(original));
      for (const each of placeholders(text)) expect(needed, key).toContain(each);
      if (!PLURAL.test(key)) expect(placeholders(text), key).toEqual(placeholders(original));
    }
  },
);

test("no word stands there that nothing shows", () => {
  const source = sources();
  const whole = new Set(
    [...source.matchAll(/["'`]([\w]+(?:\.[\w]+)+)["'`]/g)].map((each) => each[1]),
  );
  // `quota.${standing}` shows what stands directly in `quota`, and only what the code names.
  const templates = [...source.matchAll(/`((?:[\w.]|\$\{[^}]*\})+)`/g)]
    .map((each) => (each[1] ?? "").split(/\$\{[^}]*\}/))
    .filter((parts) => parts.length > 1 && parts[0]?.includes("."))
    .map(
      (parts) =>
        new RegExp(`^${parts.map((part) => part.replaceAll(".", "[.]")).join("([^.]+)")}$`),
    );
  const named = new Set(
    [...source.matchAll(/["'`](\w+)["'`]|\b(\w+):/g)].map((each) => each[1] ?? each[2]),
  );
  const unused = [...stems(english)].filter(
    (key) =>
      !whole.has(key) &&
      !templates.some((template) =>
        template
          .exec(key)
          ?.slice(1)
          .every((each) => named.has(each)),
      ),
  );
  expect(unused).toEqual([]);
});
