/** The end of a list: the way to what follows, or that nothing does. */

import { useEffect, useRef, useState } from "react";
import { Button } from "./Button";
import { ProblemNotice } from "./ProblemNotice";

interface Props {
  more: boolean;
  loading: boolean;
  error: unknown;
  show: () => void;
  words: { show: string; loading: string; all: string };
}

export function ShowMore({ more, loading, error, show, words }: Props) {
  const [pressed, setPressed] = useState(false);
  const end = useRef<HTMLParagraphElement>(null);
  const ended = pressed && !more;
  useEffect(() => {
    // The button that had the focus is gone.
    if (ended) end.current?.focus({ preventScroll: true });
  }, [ended]);
  if (error) return <ProblemNotice error={error} retry={show} />;
  if (ended) {
    return (
      <p ref={end} tabIndex={-1} className="text-center text-soft text-sm outline-none">
        {words.all}
      </p>
    );
  }
  if (!more) return null;
  return (
    <Button
      className="self-center"
      aria-disabled={loading}
      onClick={() => {
        if (loading) return;
        setPressed(true);
        show();
      }}
    >
      {loading ? words.loading : words.show}
    </Button>
  );
}
