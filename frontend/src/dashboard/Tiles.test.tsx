import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, test } from "vitest";
import { answering, json } from "../../tests/answers";
import { totalsDocument } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { Tiles } from "./Tiles";
import { readView } from "./view";

function Narrowed() {
  const [query, setQuery] = useState("");
  return (
    <>
      <button type="button" onClick={() => setQuery("path=/a")}>
        Narrow
      </button>
      <Tiles view={readView(new URLSearchParams(query), "UTC")} />
    </>
  );
}

test("how many events of bots another view left out is dimmed beside the new totals", async () => {
  const left = (text: string) => screen.findByText(`${text} events of bots are left out`);
  let bots = (_: Response) => {};
  const { asked, routes } = answering({
    "GET /analytics/totals": ({ query }) =>
      json(totalsDocument(query.get("bots") === "only" ? 7 : 20))(),
  });
  renderInEnglish(<Narrowed />);
  expect((await left("7")).parentElement).toHaveAttribute("aria-busy", "false");

  routes["GET /analytics/totals"] = ({ query }) =>
    query.get("bots") === "only"
      ? new Promise((resolve) => {
          bots = resolve;
        })
      : json(totalsDocument(10))();
  await userEvent.click(screen.getByRole("button", { name: "Narrow" }));
  await waitFor(() => expect(document.querySelector("[data-tile=views]")).toHaveTextContent("10"));
  expect((await left("7")).parentElement).toHaveAttribute("aria-busy", "true");
  await waitFor(() => {
    const { query } = asked.at(-1) ?? {};
    expect([query?.get("path"), query?.get("bots")]).toEqual(["/a", "only"]);
  });
  bots(json(totalsDocument(3))());
  expect((await left("3")).parentElement).toHaveAttribute("aria-busy", "false");
});
