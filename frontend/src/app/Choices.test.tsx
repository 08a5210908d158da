import { act, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { renderInEnglish } from "../../tests/translated";
import { Choices } from "./Choices";
import { showNotOpened } from "./not_opened";
import { followTheme } from "./theme";

vi.mock("../locales/ar.json", () => {
  throw new TypeError("Failed to fetch the module");
});

beforeEach(() => localStorage.clear());

test("a language that cannot be loaded is said, and the pages stay as they are", async () => {
  renderInEnglish(<Choices />);
  await userEvent.click(screen.getByRole("button", { name: "Language and theme" }));
  const languages = screen.getByRole("combobox", { name: "Language" });
  await userEvent.selectOptions(languages, "ar");
  expect(await screen.findByRole("alert")).toHaveTextContent("العربية could not be loaded.");
  expect(languages).toHaveValue("en");
  expect(localStorage.getItem("weir.language")).toBeNull();
});

test("a theme that is chosen in another tab is shown in this one", async () => {
  followTheme();
  renderInEnglish(<Choices />);
  await userEvent.click(screen.getByRole("button", { name: "Language and theme" }));
  localStorage.setItem("weir.theme", "dark");
  act(() => void window.dispatchEvent(new StorageEvent("storage", { key: "weir.theme" })));
  expect(document.documentElement.dataset.theme).toBe("dark");
  expect(screen.getByRole("combobox", { name: "Theme" })).toHaveValue("dark");
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Theme" }), "system");
  expect(document.documentElement.dataset.theme).toBeUndefined();
  expect(localStorage.getItem("weir.theme")).toBeNull();
});

test("without any words there is a sentence, and a way to load the page again", () => {
  const root = document.createElement("div");
  document.body.append(root);
  showNotOpened(root);
  expect(screen.getByRole("alert")).toHaveTextContent("Weir could not be loaded.");
  expect(screen.getByRole("button", { name: "Load again" })).toBeInTheDocument();
  root.remove();
});
