/** A part of a page that scrolls within itself, also by keyboard (WCAG 2.1.1). */

import type { ReactNode } from "react";

interface Props {
  label: string;
  className?: string;
  children: ReactNode;
}

export function ScrollRegion({ label, className, children }: Props) {
  return (
    // A group and no region: it stands within one of the same name.
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for what one fills in
    <div
      role="group"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus
      tabIndex={0}
      className={className}
    >
      {children}
    </div>
  );
}
