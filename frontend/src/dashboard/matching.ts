/** Whether an event that is told belongs to what the view is narrowed to. */

import type { StoredEvent } from "./use_live_events";
import { DIMENSIONS, type View } from "./view";

export function isOf(event: StoredEvent, { where, bots }: Pick<View, "where" | "bots">): boolean {
  if (bots === "only" && !event.bot) return false;
  if (bots === "exclude" && event.bot) return false;
  return DIMENSIONS.every(
    (dimension) => where[dimension] === undefined || where[dimension] === (event[dimension] ?? ""),
  );
}
