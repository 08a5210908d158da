/** What a button of the page's head opens below itself: never wider or higher than the window. */

import { clsx } from "clsx";
import { Popover } from "radix-ui";
import type { ReactNode } from "react";

export function PopoverPanel({
  label,
  width,
  children,
}: {
  label: string;
  width: "w-64" | "w-80";
  children: ReactNode;
}) {
  return (
    <Popover.Portal>
      <Popover.Content
        align="end"
        sideOffset={8}
        collisionPadding={12}
        aria-label={label}
        className={clsx(
          "z-30 flex max-h-(--radix-popover-content-available-height) flex-col gap-3",
          "max-w-[calc(100vw-1.5rem)] overflow-y-auto rounded-card border border-line bg-surface",
          "p-4 shadow-lg outline-none",
          width,
        )}
      >
        {children}
      </Popover.Content>
    </Popover.Portal>
  );
}
