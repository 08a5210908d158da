/** Language and theme, behind one button. */

import { Settings2 } from "lucide-react";
import { Popover } from "radix-ui";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { IconButton } from "../design/Button";
import { Select } from "../design/Field";
import { LANGUAGES, type Language } from "../language/languages";
import { chooseLanguage } from "../language/translation";
import { chooseTheme, chosenTheme, type Theme } from "./theme";

export function Choices() {
  const { t, i18n } = useTranslation();
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <IconButton
          label={t("choices.title")}
          icon={<Settings2 aria-hidden className="size-5" />}
        />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          align="end"
          sideOffset={8}
          collisionPadding={12}
          aria-label={t("choices.title")}
          className="z-30 flex w-64 flex-col gap-3 rounded-card border border-line bg-surface p-4 shadow-lg"
        >
          <Select<Language>
            label={t("choices.language")}
            value={i18n.language as Language}
            choose={(language) => void chooseLanguage(language)}
            options={Object.entries(LANGUAGES).map(([value, { title }]) => ({
              value: value as Language,
              title,
            }))}
          />
          <Select<Theme>
            label={t("choices.theme")}
            value={theme}
            choose={(chosen) => {
              chooseTheme(chosen);
              setTheme(chosen);
            }}
            options={[
              { value: "system", title: t("choices.system") },
              { value: "light", title: t("choices.light") },
              { value: "dark", title: t("choices.dark") },
            ]}
          />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
