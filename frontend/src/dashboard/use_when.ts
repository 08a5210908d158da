/** When something was: the time of day, and the day too where it is not the running one. */

import { useCallback, useSyncExternalStore } from "react";
import { serverNow } from "../api/server_clock";
import { useFormats } from "../language/formats";
import { startOfDay } from "./periods";

const LOOK_MS = 60_000;

export function useWhen(timeZone: string): (moment: Date | string) => string {
  const formats = useFormats(timeZone);
  // Also where nothing new comes over midnight.
  const today = useSyncExternalStore(everyMinute, () =>
    startOfDay(serverNow(), timeZone).getTime(),
  );
  return useCallback(
    (moment) =>
      new Date(moment).getTime() < today ? formats.dateTime(moment) : formats.time(moment),
    [formats, today],
  );
}

function everyMinute(look: () => void): () => void {
  const timer = setInterval(look, LOOK_MS);
  return () => clearInterval(timer);
}
