import { act, render, screen } from "@testing-library/react";
import { Tabs } from "radix-ui";
import { beforeEach, expect, test, vi } from "vitest";
import { Directed } from "./Directed";

/** The module anew, as in a page that was just loaded; `missing`: files that cannot be loaded. */
async function opened(...missing: string[]) {
  vi.resetModules();
  for (const language of ["en", "de", "ar"]) {
    vi.doMock(`../locales/${language}.json`, async (original) => {
      if (missing.includes(language)) throw new TypeError("Failed to fetch the module");
      return await original();
    });
  }
  const { default: i18next } = await import("i18next");
  return { i18next, ...(await import("./translation")) };
}

const shown = () => document.documentElement.lang;
const kept = () => localStorage.getItem("weir.language");

beforeEach(() => {
  localStorage.clear();
  document.documentElement.lang = "";
});

test("a language is remembered when it is shown", async () => {
  const { openTranslations, chooseLanguage } = await opened();
  await openTranslations();
  expect(shown()).toBe("en");
  await chooseLanguage("de");
  expect([shown(), kept()]).toEqual(["de", "de"]);
});

test("a language that cannot be loaded is not chosen, and not remembered", async () => {
  const { openTranslations, chooseLanguage } = await opened("de");
  await openTranslations();
  await expect(chooseLanguage("de")).rejects.toThrow();
  expect([shown(), kept()]).toEqual(["en", null]);
});

test("at the start English stands in for a language that cannot be loaded", async () => {
  localStorage.setItem("weir.language", "ar");
  const { openTranslations } = await opened("ar");
  await openTranslations();
  expect(shown()).toBe("en");
  expect(document.documentElement.dir).toBe("ltr");
});

test("without English nothing can be opened", async () => {
  const { openTranslations } = await opened("en");
  await expect(openTranslations()).rejects.toThrow();
});

test("what is chosen in another tab is shown in this one", async () => {
  const { openTranslations } = await opened();
  await openTranslations();
  window.dispatchEvent(new StorageEvent("storage", { key: "weir.language", newValue: "de" }));
  await vi.waitFor(() => expect(shown()).toBe("de"));
});

test("in Arabic tabs are written from right to left", async () => {
  const { default: i18next } = await import("i18next");
  const { initReactI18next } = await import("react-i18next");
  await i18next.use(initReactI18next).init({ lng: "ar", resources: { ar: { translation: {} } } });
  render(
    <Directed>
      <Tabs.Root defaultValue="one">
        <Tabs.List>
          <Tabs.Trigger value="one">One</Tabs.Trigger>
        </Tabs.List>
      </Tabs.Root>
    </Directed>,
  );
  expect(screen.getByRole("tablist").closest("[dir]")).toHaveAttribute("dir", "rtl");
  await act(() => i18next.changeLanguage("de"));
  expect(screen.getByRole("tablist").closest("[dir]")).toHaveAttribute("dir", "ltr");
});
