/** The view of the address, and how it changes. */

import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";
import { browserZone, readView, type View, writeView } from "./view";

export interface Shown {
  view: View;
  change: (changed: Partial<View>) => void;
}

export function useView(): Shown {
  const [params, setParams] = useSearchParams();
  const zone = browserZone();
  const view = useMemo(() => readView(params, zone), [params, zone]);
  const change = useCallback(
    (changed: Partial<View>) => {
      // A step of its own in the history: back goes to the view before.
      setParams((now) => writeView({ ...readView(now, zone), ...changed }, zone));
    },
    [setParams, zone],
  );
  return { view, change };
}
