import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";
import { type Answer, answering, json, problem } from "../../tests/answers";
import { CATALOGUE, planDocument, usageItem } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { formatsOf } from "../language/formats";
import { PlanPage } from "./PlanPage";

const PLAN = planDocument(60);

const BILLING = {
  customer_id: null as string | null,
  plan: "free",
  subscription_status: null as string | null,
  period_start: "2026-11-01T12:00:00.000Z",
  period_end: "2026-12-01T12:00:00.000Z",
  currency: "usd",
  meters: [
    {
      meter: "conversions",
      title: "Conversions",
      units: 1151,
      unit_amount: "0.5",
      amount: "5.755",
      pending_units: 4,
    },
  ],
  amount: "5.755",
};

const SUBSCRIBED = { ...BILLING, customer_id: "cus_1", plan: "pro", subscription_status: "active" };

function api(more: Record<string, Answer> = {}) {
  return answering({
    "GET /api/user/plan": json(PLAN),
    "GET /api/plans": json(CATALOGUE),
    "GET /api/user/usage": json({ items: [], next_cursor: null }),
    "GET /api/user/billing": json(BILLING),
    ...more,
  });
}

/** The card of a plan. */
async function card(title: string): Promise<HTMLElement> {
  const heading = await screen.findByRole("heading", { name: title, level: 3 });
  return heading.closest("li") as HTMLElement;
}

afterEach(() => {
  vi.useRealTimers();
});

test("each plan says its price, its credits and what it is made for", async () => {
  api();
  renderInEnglish(<PlanPage />, "/plan");
  const starter = await card("Starter");
  expect(starter).toHaveTextContent("Free");
  expect(await within(starter).findByText("Your plan")).toBeInTheDocument();
  expect(within(starter).queryByRole("button")).toBeNull();
  const pro = await card("Pro");
  expect(pro).toHaveTextContent("$19.00");
  expect(pro).toHaveTextContent("1,000 credits a month");
  const uses = within(pro).getByRole("list", { name: "What Pro is made for" });
  expect(
    within(uses)
      .getAllByRole("listitem")
      .map((each) => each.textContent),
  ).toEqual(["Posts for LinkedIn", "Several variants of a post", "carrier_pigeon"]);
});

test("without Stripe it says in words that nothing can be bought", async () => {
  const { asked } = api({
    "POST /api/user/billing/checkout": problem(503, {
      code: "stripe_not_set_up",
      detail: "nothing can be paid here yet: set STRIPE_API_KEY, and start the API again",
    }),
  });
  renderInEnglish(<PlanPage />, "/plan");
  const pro = await card("Pro");
  await userEvent.click(within(pro).getByRole("button", { name: "Subscribe to Pro" }));
  expect(await within(pro).findByText("Plans cannot be bought here yet")).toBeInTheDocument();
  expect(asked.find((each) => each.method === "POST")?.body).toEqual({ plan: "pro" });
});

test("who subscribes already changes the plan at Stripe, and does not pay twice", async () => {
  const { asked } = api({
    "GET /api/user/billing": json(SUBSCRIBED),
    "POST /api/user/billing/portal": problem(502, { detail: "Stripe refused" }),
  });
  renderInEnglish(<PlanPage />, "/plan");
  await userEvent.click(await screen.findByRole("button", { name: "Change plan to Pro" }));
  expect(await screen.findByText("Stripe refused")).toBeInTheDocument();
  const [post] = asked.filter((each) => each.method === "POST");
  expect(post?.path).toBe("/api/user/billing/portal");
  expect(screen.getByRole("button", { name: "Manage payment" })).toBeInTheDocument();
});

test("the bill is exact, and what waits is explained", async () => {
  api();
  renderInEnglish(<PlanPage />, "/plan");
  const table = await screen.findByRole("table", { name: "Use in this period" });
  expect(table).toHaveTextContent("$0.005 each");
  expect(table).toHaveTextContent("1,151");
  expect(table).toHaveTextContent("$5.755");
  expect(screen.getByText(/Conversions: 4 units wait/)).toBeInTheDocument();
  expect(screen.queryByRole("button", { name: "Manage payment" })).toBeNull();
});

test("what is used is a bar and numbers, with the moment at which it begins anew", async () => {
  api();
  renderInEnglish(<PlanPage />, "/plan");
  const bar = await screen.findByRole("progressbar", { name: "Credits used" });
  expect(bar).toHaveAttribute("aria-valuenow", "40");
  expect(screen.getByText("40 of 100 credits used")).toBeInTheDocument();
  const { dateTime } = formatsOf("en");
  expect(screen.getByText(/New credits on/).textContent).toBe(
    `New credits on ${dateTime(PLAN.resets_at)}`,
  );
});

test("a period ends with the last moment that belongs to it", async () => {
  api();
  renderInEnglish(<PlanPage />, "/plan");
  const { dateTime } = formatsOf("en");
  const period = await screen.findByText(/^From/);
  expect(period.textContent).toBe(
    `From ${dateTime(BILLING.period_start)} to ${dateTime("2026-12-01T11:59:59.999Z")}.`,
  );
});

test("the ledger goes on page by page, and says when that is all", async () => {
  const { asked } = api({
    "GET /api/user/usage": ({ query }) =>
      Response.json(
        query.get("cursor") === null
          ? { items: [usageItem(2)], next_cursor: "older" }
          : { items: [usageItem(1)], next_cursor: null },
      ),
  });
  renderInEnglish(<PlanPage />, "/plan");
  const table = await screen.findByRole("table", { name: "Changes, newest first" });
  expect(table).toHaveTextContent("Spent post 2");
  expect(table).toHaveTextContent("98");
  await userEvent.click(screen.getByRole("button", { name: "Show more" }));
  expect(await within(table).findByText("post 1")).toBeInTheDocument();
  expect(screen.getByText("These are all changes.")).toHaveFocus();
  expect(asked.at(-1)?.query.get("cursor")).toBe("older");
});

test("an empty ledger and a question that failed say so", async () => {
  const { routes } = api({
    "GET /api/user/billing": problem(503, { detail: "ClickHouse is away" }),
  });
  renderInEnglish(<PlanPage />, "/plan");
  expect(await screen.findByText("No credits were spent yet.")).toBeInTheDocument();
  expect(await screen.findByText("ClickHouse is away")).toBeInTheDocument();
  routes["GET /api/user/billing"] = json(BILLING);
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("Total so far")).toBeInTheDocument();
});

test("after a checkout it asks until Stripe has confirmed", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const { routes } = api();
  renderInEnglish(<PlanPage />, "/plan?checkout=success");
  expect(await screen.findByText("Thank you! Your subscription is on its way")).toBeInTheDocument();
  await screen.findByText("Total so far");
  routes["GET /api/user/billing"] = json(SUBSCRIBED);
  routes["GET /api/user/plan"] = json({ ...PLAN, plan: "pro", limit: 1000, remaining: 960 });
  await vi.advanceTimersByTimeAsync(2500);
  expect(await screen.findByText("Thank you! Your subscription is active")).toBeInTheDocument();
  expect(await within(await card("Pro")).findByText("Your plan")).toBeInTheDocument();
});

test("it asks a few times only", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const { asked } = api();
  renderInEnglish(<PlanPage />, "/plan?checkout=success");
  await screen.findByText("Total so far");
  await vi.advanceTimersByTimeAsync(120_000);
  const before = asked.filter((each) => each.path === "/api/user/billing").length;
  expect(before).toBeLessThanOrEqual(16);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.filter((each) => each.path === "/api/user/billing").length).toBe(before);
});

test("a cancelled checkout is told, until it is closed", async () => {
  api();
  renderInEnglish(<PlanPage />, "/plan?checkout=cancelled");
  expect(await screen.findByText("The checkout was cancelled")).toBeInTheDocument();
  await userEvent.click(screen.getByRole("button", { name: "Close this message" }));
  await waitFor(() => expect(screen.queryByText("The checkout was cancelled")).toBeNull());
});
