/** Something one should know, by an icon and words, never by colour alone. */

import { clsx } from "clsx";
import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";

type Kind = "error" | "warning" | "note";

interface Props {
  kind: Kind;
  title: ReactNode;
  children?: ReactNode;
  /** What one can do about it. */
  action?: ReactNode;
}

const LOOKS: Record<Kind, string> = {
  error: "bg-bad-faint text-bad",
  warning: "bg-warn-faint text-warn",
  note: "bg-sunken text-ink",
};
const ICONS = { error: CircleAlert, warning: TriangleAlert, note: Info };

export function Notice({ kind, title, children, action }: Props) {
  const Icon = ICONS[kind];
  return (
    <div
      role={kind === "error" ? "alert" : "status"}
      className={clsx("flex flex-wrap items-center gap-3 rounded-card p-4", LOOKS[kind])}
    >
      <Icon aria-hidden className="size-5 shrink-0" />
      <div className="min-w-0 flex-1 basis-48">
        <p className="break-words font-medium">{title}</p>
        {children ? <div className="break-words text-sm">{children}</div> : null}
      </div>
      {action}
    </div>
  );
}
