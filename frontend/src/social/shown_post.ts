/** Which post the page shows: the address names it, so that it can be opened again. */

import { useCallback } from "react";
import { useLocation, useSearchParams } from "react-router";

const NAME = "post";

interface Moved {
  toPost: true;
}

export interface ShownPost {
  id: string | null;
  /** Another each time that the focus is to move to the post; null: it is not. */
  moved: string | null;
  /** `step`: a step of its own in the history, so that back closes it again. */
  show: (id: string, options: { focus: boolean; step: boolean }) => void;
  close: () => void;
}

export function useShownPost(): ShownPost {
  const [params, setParams] = useSearchParams();
  const location = useLocation();
  const show = useCallback(
    (id: string, { focus, step }: { focus: boolean; step: boolean }) => {
      setParams(
        (before) => {
          before.set(NAME, id);
          return before;
        },
        { replace: !step, state: focus ? ({ toPost: true } satisfies Moved) : null },
      );
    },
    [setParams],
  );
  const close = useCallback(() => {
    setParams(
      (before) => {
        before.delete(NAME);
        return before;
      },
      { replace: true },
    );
  }, [setParams]);
  const state = location.state as Moved | null;
  return {
    id: params.get(NAME),
    moved: state?.toPost === true ? location.key : null,
    show,
    close,
  };
}
