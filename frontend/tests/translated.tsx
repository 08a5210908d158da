/** Renders a component with English words, a fresh query cache and a router around it. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type RenderResult, render } from "@testing-library/react";
import i18next from "i18next";
import type { ReactElement } from "react";
import { initReactI18next } from "react-i18next";
import { MemoryRouter } from "react-router";
import en from "../src/locales/en.json";

await i18next.use(initReactI18next).init({
  lng: "en",
  fallbackLng: false,
  interpolation: { escapeValue: false },
  react: { useSuspense: false },
  resources: { en: { translation: en } },
});

export function renderInEnglish(element: ReactElement, path = "/"): RenderResult {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <QueryClientProvider client={queries}>
      <MemoryRouter initialEntries={[path]}>{element}</MemoryRouter>
    </QueryClientProvider>,
  );
}
