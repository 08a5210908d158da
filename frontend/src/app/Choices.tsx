/** Language and theme, behind one button. */

import { Settings2 } from "lucide-react";
import { Popover } from "radix-ui";
import { useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { IconButton } from "../design/Button";
import { Select } from "../design/Field";
import { PopoverPanel } from "../design/PopoverPanel";
import { LANGUAGES, type Language } from "../language/languages";
import { chooseLanguage } from "../language/translation";
import { chooseTheme, onTheme, shownTheme, type Theme } from "./theme";

export function Choices() {
  const { t, i18n } = useTranslation();
  const theme = useSyncExternalStore(onTheme, shownTheme);
  const [notLoaded, setNotLoaded] = useState<Language | null>(null);
  const choose = (language: Language) => {
    setNotLoaded(null);
    chooseLanguage(language).catch(() => setNotLoaded(language));
  };
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <IconButton
          label={t("choices.title")}
          icon={<Settings2 aria-hidden className="size-5" />}
        />
      </Popover.Trigger>
      <PopoverPanel label={t("choices.title")} width="w-64">
        <Select<Language>
          label={t("choices.language")}
          value={i18n.language as Language}
          choose={choose}
          options={Object.entries(LANGUAGES).map(([value, { title }]) => ({
            value: value as Language,
            title,
          }))}
        />
        {notLoaded !== null ? (
          <p role="alert" className="text-bad text-sm">
            {t("choices.notLoaded", { language: LANGUAGES[notLoaded].title })}
          </p>
        ) : null}
        <Select<Theme>
          label={t("choices.theme")}
          value={theme}
          choose={chooseTheme}
          options={[
            { value: "system", title: t("choices.system") },
            { value: "light", title: t("choices.light") },
            { value: "dark", title: t("choices.dark") },
          ]}
        />
      </PopoverPanel>
    </Popover.Root>
  );
}
