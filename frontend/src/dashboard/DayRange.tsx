/** The days of a range of one's own: taken when they are typed to the end and in their order. */

import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { TextField } from "../design/Field";
import type { Shown } from "./use_view";
import { isDay } from "./view";

export function DayRange({ view, change }: Shown) {
  const { t } = useTranslation();
  const [first, setFirst] = useState(view.first);
  const [last, setLast] = useState(view.last);
  const taken = useRef("");
  // Back and forward choose other days. Those that were taken here are there already: what was
  // typed since then stays.
  useEffect(() => {
    if (taken.current !== `${view.first} ${view.last}`) {
      setFirst(view.first);
      setLast(view.last);
    }
    taken.current = "";
  }, [view.first, view.last]);
  const usable = isDay(first) && isDay(last) && first <= last;
  const take = () => {
    if (usable && (first !== view.first || last !== view.last)) {
      taken.current = `${first} ${last}`;
      change({ first, last });
    }
  };
  return (
    <form
      className="grid grid-cols-2 gap-2 sm:flex"
      onSubmit={(event) => {
        event.preventDefault();
        take();
      }}
      onBlur={({ currentTarget, relatedTarget }) => {
        // From one of them to the other nothing is whole yet.
        if (!currentTarget.contains(relatedTarget)) take();
      }}
    >
      <TextField
        type="date"
        label={t("dashboard.first")}
        value={first}
        onChange={({ target }) => setFirst(target.value)}
      />
      <TextField
        type="date"
        label={t("dashboard.last")}
        value={last}
        error={usable ? null : t("dashboard.daysWrong")}
        onChange={({ target }) => setLast(target.value)}
      />
      <button type="submit" className="sr-only">
        {t("dashboard.takeDays")}
      </button>
    </form>
  );
}
