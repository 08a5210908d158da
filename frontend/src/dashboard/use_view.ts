/** The view of the address, and the period it asks for at this minute. */

import { useCallback, useEffect, useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { type Period, periodOf } from "./periods";
import { browserZone, readView, type View, writeView } from "./view";

const MINUTE = 60_000;

export interface ViewAndPeriod {
  view: View;
  period: Period;
  change: (changed: Partial<View>) => void;
}

export function useView(): ViewAndPeriod {
  const [params, setParams] = useSearchParams();
  const zone = browserZone();
  const view = useMemo(() => readView(params, zone), [params, zone]);
  const minute = useMinute();
  const period = useMemo(() => periodOf(view, new Date(minute)), [view, minute]);
  const change = useCallback(
    (changed: Partial<View>) => {
      // A step of its own in the history: back goes to the view before.
      setParams((now) => writeView({ ...readView(now, zone), ...changed }, zone));
    },
    [setParams, zone],
  );
  return { view, period, change };
}

/** The running minute, so that a period ends with it. */
function useMinute(): number {
  const [minute, setMinute] = useState(() => floored(Date.now()));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const wait = () => {
      timer = setTimeout(
        () => {
          setMinute(floored(Date.now()));
          wait();
        },
        MINUTE - (Date.now() % MINUTE) + 5,
      );
    };
    wait();
    return () => clearTimeout(timer);
  }, []);
  return minute;
}

function floored(moment: number): number {
  return Math.floor(moment / MINUTE) * MINUTE;
}
