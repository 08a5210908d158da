import { fireEvent, screen } from "@testing-library/react";
import { useState } from "react";
import { expect, test } from "vitest";
import { renderInEnglish } from "../../tests/translated";
import { DayRange } from "./DayRange";
import { readView, type View } from "./view";

const VIEW = readView(new URLSearchParams("range=custom&first=2026-10-01&last=2026-10-15"), "UTC");

/** The address follows when it is told to, as a page does that is busy. */
function Slow() {
  const [view, setView] = useState(VIEW);
  const [taken, setTaken] = useState<Partial<View>>({});
  return (
    <>
      <DayRange view={view} change={setTaken} />
      <button type="button" onClick={() => setView({ ...view, ...taken })}>
        Follow
      </button>
      <button type="button" onClick={() => setView(VIEW)}>
        Back
      </button>
    </>
  );
}

test("what is typed before the page follows stays, and back chooses the days before", () => {
  renderInEnglish(<Slow />);
  const last = screen.getByLabelText<HTMLInputElement>("To");
  fireEvent.change(last, { target: { value: "2026-10-20" } });
  fireEvent.submit(last);
  fireEvent.change(last, { target: { value: "2026-10-25" } });
  fireEvent.click(screen.getByText("Follow"));
  expect(last.value).toBe("2026-10-25");
  fireEvent.click(screen.getByText("Back"));
  expect(last.value).toBe("2026-10-15");
});
