/** What one presses: primary for the one thing a page is for, quiet for what stands beside it. */

import { clsx } from "clsx";
import type { ComponentProps, ReactNode } from "react";

type Kind = "primary" | "secondary" | "quiet";

interface Props extends ComponentProps<"button"> {
  kind?: Kind;
  icon?: ReactNode;
}

const KINDS: Record<Kind, string> = {
  primary: "bg-accent text-on-accent hover:bg-accent-strong",
  secondary: "border border-edge bg-surface hover:bg-sunken",
  quiet: "hover:bg-sunken",
};

/** The look of a button, also for links that stand among buttons. */
export function buttonLook(kind: Kind = "secondary"): string {
  return clsx(
    "inline-flex min-h-10 items-center justify-center gap-2 rounded-lg px-3.5 py-1.5 font-medium",
    "print:hidden aria-disabled:cursor-not-allowed aria-disabled:opacity-60",
    "transition-colors disabled:cursor-not-allowed disabled:opacity-60",
    KINDS[kind],
  );
}

export function Button({ kind = "secondary", icon, className, children, ...rest }: Props) {
  return (
    <button type="button" className={clsx(buttonLook(kind), className)} {...rest}>
      {icon}
      {children}
    </button>
  );
}

interface IconProps extends ComponentProps<"button"> {
  /** Says what it does: nothing else does. */
  label: string;
  icon: ReactNode;
}

export function IconButton({ label, icon, className, ...rest }: IconProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={clsx(
        "inline-flex size-10 items-center justify-center rounded-lg transition-colors",
        "hover:bg-sunken disabled:opacity-60 print:hidden",
        className,
      )}
      {...rest}
    >
      {icon}
    </button>
  );
}
