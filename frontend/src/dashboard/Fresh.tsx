/** Dims what was asked for another view, until this one's answer is there. */

import { clsx } from "clsx";
import type { ReactNode } from "react";

export function Fresh({ waits, children }: { waits: boolean; children: ReactNode }) {
  return (
    <div aria-busy={waits} className={clsx("min-w-0 transition-opacity", waits && "opacity-40")}>
      {children}
    </div>
  );
}
