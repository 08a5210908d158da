import { QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import { answering, json, problem } from "../../tests/answers";
import { CATALOGUE, planDocument, usageItem } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { newQueryClient } from "../app/queries";
import { QuotaDisplay } from "./QuotaDisplay";
import { creditsChanged } from "./queries";

function change(number: number) {
  return number % 2 === 0
    ? usageItem(number, { kind: "refund", reason: "social post failed", credits: 1 })
    : usageItem(number, { reason: "social post", credits: -2 });
}

test("shows how many credits remain", async () => {
  answering({ "GET /api/user/plan": json(planDocument(97)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /97 credits/ });
  expect(button.querySelector(".text-bad")).toBeNull();
});

test("below 10 % it is red, with an icon and words", async () => {
  answering({ "GET /api/user/plan": json(planDocument(9)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /Only 9 credits left/ });
  const red = button.querySelector(".text-bad");
  expect(red).toHaveTextContent("Only 9 credits left");
  expect(red?.querySelector("svg.lucide-triangle-alert")).toBeInTheDocument();
});

test("exactly 10 % is not few", async () => {
  answering({ "GET /api/user/plan": json(planDocument(10)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /10 credits/ });
  expect(button.querySelector(".text-bad")).toBeNull();
  expect(screen.queryByText(/Only/)).toBeNull();
});

test("a limit of nothing is said in words", async () => {
  answering({ "GET /api/user/plan": json(planDocument(0, 0)) });
  renderInEnglish(<QuotaDisplay />);
  expect(await screen.findByRole("button", { name: /No credits left/ })).toBeInTheDocument();
});

test("says that the credits are not known, and asks again", async () => {
  const { routes } = answering({ "GET /api/user/plan": problem(503, { detail: "Kafka is away" }) });
  renderInEnglish(<QuotaDisplay />);
  await userEvent.click(await screen.findByRole("button", { name: /Credits not known/ }));
  const popover = await screen.findByRole("dialog");
  expect(popover).toHaveTextContent("Kafka is away");
  routes["GET /api/user/plan"] = json(planDocument(42));
  await userEvent.click(within(popover).getByRole("button", { name: "Try again" }));
  expect(await within(popover).findByText("58 of 100 credits used")).toBeInTheDocument();
});

test("a change is shown and announced, what was there at first is not announced", async () => {
  const { routes } = answering({ "GET /api/user/plan": json(planDocument(97)) });
  const queries = newQueryClient();
  render(
    <QueryClientProvider client={queries}>
      <MemoryRouter>
        <QuotaDisplay />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  await screen.findByRole("button", { name: /97 credits/ });
  expect(screen.getByRole("status")).toBeEmptyDOMElement();
  routes["GET /api/user/plan"] = json(planDocument(95));
  await act(() => creditsChanged(queries));
  expect(await screen.findByRole("button", { name: /95 credits/ })).toBeInTheDocument();
  await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("95 credits"));
});

test("behind it are the plan, what is used, the latest changes, and the way to more", async () => {
  const { asked } = answering({
    "GET /api/user/plan": json(planDocument(97)),
    "GET /api/plans": json(CATALOGUE),
    "GET /api/user/usage": json({ items: [5, 4, 3, 2, 1].map(change), next_cursor: "more" }),
  });
  renderInEnglish(<QuotaDisplay />);
  await userEvent.click(await screen.findByRole("button", { name: /97 credits/ }));
  const popover = await screen.findByRole("dialog", { name: "Your credits" });
  expect(await within(popover).findByText("Starter plan")).toBeInTheDocument();
  const bar = within(popover).getByRole("progressbar", { name: "Credits used" });
  expect(bar).toHaveAttribute("aria-valuenow", "3");
  expect(bar).toHaveAttribute("aria-valuetext", "3 of 100 credits used");
  expect(within(popover).getByText(/^New credits on .*2026.*:00/)).toBeInTheDocument();
  const changes = await within(popover).findAllByRole("listitem");
  expect(changes).toHaveLength(5);
  expect(changes[0]).toHaveTextContent("Spent social post");
  expect(changes[0]).toHaveTextContent("-2");
  expect(changes[1]).toHaveTextContent("+1");
  expect(within(popover).getByRole("link")).toHaveAttribute("href", "/plan");
  const usage = asked.find((each) => each.path === "/api/user/usage");
  expect(usage?.query.get("limit")).toBe("5");
});
