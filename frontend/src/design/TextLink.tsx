/** A link within text, also to elsewhere. */

import type { ReactNode } from "react";

export function TextLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <a href={href} className="text-accent underline underline-offset-2 hover:text-accent-strong">
      {children}
    </a>
  );
}
