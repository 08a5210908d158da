/** What a post is to be: the prompt, for which platform, in which tone and language. */

import { Sparkles } from "lucide-react";
import { type KeyboardEvent, useId, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/problem";
import { Button } from "../design/Button";
import { Select, TextArea } from "../design/Field";
import { ProblemNotice } from "../design/ProblemNotice";
import { useFormats } from "../language/formats";
import { useMyPlan } from "../plan/queries";
import { captionLanguages } from "./caption_languages";
import type { Draft } from "./draft";
import { refusalOf } from "./generation";
import {
  characters,
  MOST_VARIANTS,
  type NewPost,
  PLATFORMS,
  type Platform,
  PROMPT_CHARACTERS,
  TONES,
  type Tone,
} from "./platforms";
import { QuotaUsedUp } from "./QuotaUsedUp";

interface Props {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  /** A post is asked for or being made: one after the other. */
  busy: boolean;
  error: unknown;
  generate: (wanted: NewPost) => void;
  /** Asks for the same again. */
  again: () => void;
}

export function PostForm({ draft, change, busy, error, generate, again }: Props) {
  const { t, i18n } = useTranslation();
  const formats = useFormats();
  const plan = useMyPlan();
  const form = useRef<HTMLFormElement>(null);
  const [checked, setChecked] = useState(false);
  const explanation = useId();
  const languages = useMemo(() => captionLanguages(i18n.language), [i18n.language]);

  const promptError = usePromptError(draft.prompt, checked, error);
  const language = draft.language ?? i18n.language;
  const standing = plan.data ?? refusalOf(error);
  const tooFew = standing !== null && standing.remaining < draft.variants ? standing : null;

  const submit = () => {
    if (busy || tooFew !== null) return;
    setChecked(true);
    if (!isSendable(draft.prompt)) {
      form.current?.querySelector("textarea")?.focus();
      return;
    }
    setChecked(false);
    generate({
      prompt: draft.prompt,
      platform: draft.platform,
      tone: draft.tone,
      language,
      variants: draft.variants,
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  };

  return (
    <form
      ref={form}
      noValidate
      aria-label={t("social.form")}
      className="flex flex-col gap-4"
      onKeyDown={onKeyDown}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <TextArea
        label={t("social.prompt")}
        placeholder={t("social.promptExample")}
        rows={6}
        dir="auto"
        required
        className="max-h-96 [overflow-wrap:anywhere]"
        value={draft.prompt}
        onChange={(event) => change({ prompt: event.target.value })}
        hint={<PromptHint prompt={draft.prompt} />}
        error={promptError}
      />
      <div className="grid grid-cols-2 gap-3">
        <Select<Platform>
          label={t("social.platform")}
          value={draft.platform}
          choose={(platform) => change({ platform })}
          options={(Object.keys(PLATFORMS) as Platform[]).map((value) => ({
            value,
            title: PLATFORMS[value].title,
          }))}
        />
        <Select<Tone>
          label={t("social.tone")}
          value={draft.tone}
          choose={(tone) => change({ tone })}
          options={TONES.map((value) => ({ value, title: t(`social.tones.${value}`) }))}
        />
        <Select
          label={t("social.language")}
          value={language}
          choose={(chosen) => change({ language: chosen })}
          options={languages}
        />
        <Select
          label={t("social.variants")}
          hint={t("social.variantsCost")}
          value={String(draft.variants)}
          choose={(variants) => change({ variants: Number(variants) })}
          options={Array.from({ length: MOST_VARIANTS }, (_, index) => ({
            value: String(index + 1),
            title: formats.count(index + 1),
          }))}
        />
      </div>
      {tooFew !== null ? <QuotaUsedUp id={explanation} refusal={tooFew} /> : null}
      {error && refusalOf(error) === null && !isAboutPrompt(error) ? (
        <ProblemNotice error={error} retry={again} />
      ) : null}
      <Button
        type="submit"
        kind="primary"
        className="w-full"
        // The focus stays on it, also when the press showed that there are no credits left.
        aria-disabled={busy || tooFew !== null}
        aria-describedby={tooFew !== null ? explanation : undefined}
        icon={<Sparkles aria-hidden className="size-4" />}
      >
        {busy ? t("social.busy") : t("social.generate", { count: draft.variants })}
      </Button>
    </form>
  );
}

function PromptHint({ prompt }: { prompt: string }) {
  const { t } = useTranslation();
  const formats = useFormats();
  return (
    <span className="flex flex-wrap justify-between gap-x-3">
      <span className="pointer-coarse:hidden">
        {t("social.shortcut", { keys: onApple() ? "⌘ Enter" : "Ctrl+Enter" })}
      </span>
      <span className="ms-auto tabular-nums">
        {t("social.length", {
          length: formats.count(characters(prompt)),
          limit: formats.count(PROMPT_CHARACTERS),
        })}
      </span>
    </span>
  );
}

function isSendable(prompt: string): boolean {
  return prompt.trim() !== "" && characters(prompt) <= PROMPT_CHARACTERS;
}

/** Blank is said when it is sent, too long at once, what the API found wrong until it is changed. */
function usePromptError(prompt: string, checked: boolean, error: unknown): string | null {
  const { t } = useTranslation();
  const over = characters(prompt) - PROMPT_CHARACTERS;
  if (over > 0) return t("social.promptTooLong", { count: over, limit: PROMPT_CHARACTERS });
  if (checked && prompt.trim() === "") return t("social.promptBlank");
  if (!isAboutPrompt(error)) return null;
  return (error as Problem).errors.find((each) => each.field === "prompt")?.detail ?? null;
}

function isAboutPrompt(error: unknown): boolean {
  return error instanceof Problem && error.errors.some((each) => each.field === "prompt");
}

function onApple(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}
