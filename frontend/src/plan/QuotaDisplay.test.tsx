import { QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { expect, test } from "vitest";
import { answering, json, problem } from "../../tests/answers";
import { renderInEnglish } from "../../tests/translated";
import { newQueryClient } from "../app/queries";
import { QuotaDisplay } from "./QuotaDisplay";
import { creditsChanged } from "./queries";

const CATALOGUE = {
  version: 1,
  default: "free",
  currency: "usd",
  plans: [
    { name: "free", title: "Free of charge", limit: 100, price: null, unlocks: ["instagram"] },
    { name: "pro", title: "Pro", limit: 1000, price: "19.00", unlocks: ["x"] },
  ],
};

function plan(remaining: number, limit = 100) {
  return {
    plan: "free",
    quota_used: limit - remaining,
    limit,
    remaining,
    period_start: "2026-11-01T12:00:00.000Z",
    resets_at: "2026-12-01T12:00:00.000Z",
  };
}

function change(number: number) {
  return {
    id: `0000000${number}-0000-0000-0000-000000000000`,
    kind: number % 2 === 0 ? "refund" : "spend",
    reason: number % 2 === 0 ? "social post failed" : "social post",
    credits: number % 2 === 0 ? 1 : -2,
    quota_used: 3,
    limit: 100,
    remaining: 97,
    plan: "free",
    period_start: "2026-11-01T12:00:00.000Z",
    resets_at: "2026-12-01T12:00:00.000Z",
    at: `2026-11-0${number}T12:00:00.000Z`,
    command_id: "3cbc2ac4-2dd6-5e37-a8f5-1d7d4a6f0c9e",
    spend_id: null,
  };
}

test("shows how many credits remain", async () => {
  answering({ "GET /api/user/plan": json(plan(97)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /97 credits/ });
  expect(button.querySelector(".text-bad")).toBeNull();
});

test("below 10 % it is red, with an icon and words", async () => {
  answering({ "GET /api/user/plan": json(plan(9)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /Only 9 credits left/ });
  const red = button.querySelector(".text-bad");
  expect(red).toHaveTextContent("Only 9 credits left");
  expect(red?.querySelector("svg.lucide-triangle-alert")).toBeInTheDocument();
});

test("exactly 10 % is not few", async () => {
  answering({ "GET /api/user/plan": json(plan(10)) });
  renderInEnglish(<QuotaDisplay />);
  const button = await screen.findByRole("button", { name: /10 credits/ });
  expect(button.querySelector(".text-bad")).toBeNull();
  expect(screen.queryByText(/Only/)).toBeNull();
});

test("a limit of nothing is said in words", async () => {
  answering({ "GET /api/user/plan": json(plan(0, 0)) });
  renderInEnglish(<QuotaDisplay />);
  expect(await screen.findByRole("button", { name: /No credits left/ })).toBeInTheDocument();
});

test("says that the credits are not known, and asks again", async () => {
  const { routes } = answering({ "GET /api/user/plan": problem(503, { detail: "Kafka is away" }) });
  renderInEnglish(<QuotaDisplay />);
  await userEvent.click(await screen.findByRole("button", { name: /Credits not known/ }));
  const popover = await screen.findByRole("dialog");
  expect(popover).toHaveTextContent("Kafka is away");
  routes["GET /api/user/plan"] = json(plan(42));
  await userEvent.click(within(popover).getByRole("button", { name: "Try again" }));
  expect(await within(popover).findByText("58 of 100 credits used")).toBeInTheDocument();
});

test("a change is shown and announced, what was there at first is not announced", async () => {
  const { routes } = answering({ "GET /api/user/plan": json(plan(97)) });
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
  routes["GET /api/user/plan"] = json(plan(95));
  await act(() => creditsChanged(queries));
  expect(await screen.findByRole("button", { name: /95 credits/ })).toBeInTheDocument();
  await waitFor(() => expect(screen.getByRole("status")).toHaveTextContent("95 credits"));
});

test("behind it are the plan, what is used, the latest changes, and the way to more", async () => {
  const { asked } = answering({
    "GET /api/user/plan": json(plan(97)),
    "GET /api/plans": json(CATALOGUE),
    "GET /api/user/usage": json({ items: [5, 4, 3, 2, 1].map(change), next_cursor: "more" }),
  });
  renderInEnglish(<QuotaDisplay />);
  await userEvent.click(await screen.findByRole("button", { name: /97 credits/ }));
  const popover = await screen.findByRole("dialog", { name: "Your credits" });
  expect(await within(popover).findByText("Free of charge plan")).toBeInTheDocument();
  const bar = within(popover).getByRole("progressbar", { name: "Credits used" });
  expect(bar).toHaveAttribute("aria-valuenow", "3");
  expect(bar).toHaveAttribute("aria-valuetext", "3 of 100 credits used");
  expect(within(popover).getByText("New credits on Dec 1, 2026")).toBeInTheDocument();
  const changes = await within(popover).findAllByRole("listitem");
  expect(changes).toHaveLength(5);
  expect(changes[0]).toHaveTextContent("Spent social post");
  expect(changes[0]).toHaveTextContent("-2");
  expect(changes[1]).toHaveTextContent("+1");
  expect(within(popover).getByRole("link")).toHaveAttribute("href", "/plan");
  const usage = asked.find((each) => each.path === "/api/user/usage");
  expect(usage?.query.get("limit")).toBe("5");
});
