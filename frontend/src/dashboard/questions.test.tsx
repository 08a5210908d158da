import { useQueryClient } from "@tanstack/react-query";
import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, test } from "vitest";
import { answering, json } from "../../tests/answers";
import { totalsDocument } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { NUMBERS, useNoEventEver } from "./questions";
import { readView } from "./view";

function Ever({ query = "" }: { query?: string }) {
  return <p>{useNoEventEver(readView(new URLSearchParams(query), "UTC")) ? "never" : "some"}</p>;
}

function Page() {
  const queries = useQueryClient();
  const [shown, setShown] = useState<string | null>("");
  return (
    <>
      <button type="button" onClick={() => void queries.invalidateQueries({ queryKey: NUMBERS })}>
        Again
      </button>
      <button type="button" onClick={() => setShown(null)}>
        Leave
      </button>
      <button type="button" onClick={() => setShown("")}>
        Return
      </button>
      <button type="button" onClick={() => setShown("path=/empty")}>
        Narrow
      </button>
      {shown === null ? null : <Ever query={shown} />}
    </>
  );
}

const press = (name: string) => userEvent.click(screen.getByRole("button", { name }));

test("once an event is counted it is not said again that there was none", async () => {
  const { routes } = answering({
    "GET /analytics/totals": json(totalsDocument(0)),
    "GET /analytics/events": json({ items: [], next_cursor: null }),
  });
  renderInEnglish(<Page />);
  expect(await screen.findByText("never")).toBeInTheDocument();
  routes["GET /analytics/totals"] = json(totalsDocument(1));
  await press("Again");
  expect(await screen.findByText("some")).toBeInTheDocument();
  await press("Leave");
  await press("Return");
  expect(screen.getByText("some")).toBeInTheDocument();
});

test("a view without events is not taken for there being none at all", async () => {
  const { asked, routes } = answering({
    "GET /analytics/totals": json(totalsDocument(0)),
    "GET /analytics/events": json({ items: [], next_cursor: null }),
  });
  renderInEnglish(<Page />);
  await screen.findByText("never");
  routes["GET /analytics/totals"] = json(totalsDocument(1));
  await press("Again");
  await screen.findByText("some");
  routes["GET /analytics/totals"] = json(totalsDocument(0));
  await press("Narrow");
  await waitFor(() => expect(asked.at(-1)?.query.get("path")).toBe("/empty"));
  await act(() => new Promise((resolve) => setTimeout(resolve)));
  expect(screen.getByText("some")).toBeInTheDocument();
});
