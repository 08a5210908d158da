/** Copies a text, and says that it did. */

import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";

const SAID_MS = 2000;

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation();
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), SAID_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      setState("failed");
    }
  };
  const words = {
    idle: label ?? t("copy.copy"),
    copied: t("copy.copied"),
    failed: t("copy.failed"),
  };
  return (
    <Button
      onClick={() => void copy()}
      icon={
        state === "copied" ? (
          <Check aria-hidden className="size-4" />
        ) : (
          <Copy aria-hidden className="size-4" />
        )
      }
    >
      <span aria-live="polite">{words[state]}</span>
    </Button>
  );
}
