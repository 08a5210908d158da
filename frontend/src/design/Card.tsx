/** A part of a page with a heading of its own. */

import { clsx } from "clsx";
import { type ReactNode, useId } from "react";

interface Props {
  title: ReactNode;
  /** Beside the heading, at its end. */
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
}

export function Card({ title, actions, children, className }: Props) {
  const heading = useId();
  return (
    <section
      aria-labelledby={heading}
      className={clsx(
        "flex min-w-0 flex-col gap-3 rounded-card border border-line bg-surface p-4 sm:p-5",
        className,
      )}
    >
      <header className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1">
        <h2 id={heading} className="font-semibold text-base">
          {title}
        </h2>
        {actions}
      </header>
      {children}
    </section>
  );
}
