/** How much of something is used, as a bar; the numbers stand beside it. */

import { clsx } from "clsx";

interface Props {
  label: string;
  value: number;
  max: number;
  /** The same in words, for screen readers. */
  text: string;
  /** Little is left. */
  low?: boolean;
}

export function ProgressBar({ label, value, max, text, low = false }: Props) {
  // Of nothing, everything is used.
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 1;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={Math.max(max, 1)}
      aria-valuenow={max > 0 ? Math.min(value, max) : 1}
      aria-valuetext={text}
      className="h-2 w-full overflow-hidden rounded-full bg-sunken forced-colors:border"
    >
      <div
        className={clsx(
          "h-full rounded-full transition-[width] duration-300 forced-colors:bg-[Highlight]",
          low ? "bg-bad" : "bg-accent",
        )}
        style={{ width: `${share * 100}%` }}
      />
    </div>
  );
}
