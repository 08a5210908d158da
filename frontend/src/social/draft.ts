/** The post that is being thought of. It outlives a trip to the sign-in. */

import { useCallback, useState } from "react";
import { tabMemory } from "../app/memory";
import { MOST_VARIANTS, PLATFORMS, type Platform, TONES, type Tone } from "./platforms";

export interface Draft {
  prompt: string;
  platform: Platform;
  tone: Tone;
  /** Null: that of the pages. */
  language: string | null;
  variants: number;
}

const KEPT = "weir.social.draft";
const NEW: Draft = {
  prompt: "",
  platform: "instagram",
  tone: "friendly",
  language: null,
  variants: 1,
};

export function useDraft(): {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  /** It was taken: the form keeps it, the tab need not. */
  taken: () => void;
} {
  const [draft, setDraft] = useState(recalledDraft);
  const change = useCallback((part: Partial<Draft>) => {
    setDraft((before) => {
      const after = { ...before, ...part };
      tabMemory.keep(KEPT, JSON.stringify(after));
      return after;
    });
  }, []);
  const taken = useCallback(() => {
    tabMemory.keep(KEPT, null);
  }, []);
  return { draft, change, taken };
}

export function recalledDraft(): Draft {
  const text = tabMemory.recall(KEPT);
  if (text === null) return NEW;
  try {
    const kept = JSON.parse(text) as Partial<Draft> | null;
    return {
      prompt: typeof kept?.prompt === "string" ? kept.prompt : NEW.prompt,
      platform: kept?.platform && kept.platform in PLATFORMS ? kept.platform : NEW.platform,
      tone: kept?.tone && TONES.includes(kept.tone) ? kept.tone : NEW.tone,
      language: typeof kept?.language === "string" ? kept.language : NEW.language,
      variants:
        Number.isInteger(kept?.variants) && Number(kept?.variants) >= 1
          ? Math.min(Number(kept?.variants), MOST_VARIANTS)
          : NEW.variants,
    };
  } catch {
    return NEW;
  }
}
