/** Tells what Radix renders in which direction the chosen language is written. */

import { Direction } from "radix-ui";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { isLanguage, LANGUAGES } from "./languages";

export function Directed({ children }: { children: ReactNode }) {
  const { i18n } = useTranslation();
  const direction = isLanguage(i18n.language) ? LANGUAGES[i18n.language].direction : "ltr";
  // Left to itself, it writes left to right into the page whatever the document says.
  return <Direction.Provider dir={direction}>{children}</Direction.Provider>;
}
