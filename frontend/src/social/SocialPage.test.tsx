import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { type NavigateFunction, useNavigate } from "react-router";
import { beforeEach, expect, test } from "vitest";
import { type Answer, answering, eventStream, json, problem } from "../../tests/answers";
import { planDocument, postDocument } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import type { Schemas } from "../api/client";
import { SocialPage } from "./SocialPage";

function post(number: number, more: Partial<Schemas["PostDocument"]> = {}) {
  const caption = `Caption ${number}`;
  return postDocument({
    id: `${number}b9c3d1e-8a4f-5b6c-9d7e-1f2a3b4c5d6e`,
    state: "done",
    caption,
    variants: [{ number: 1, caption, image_url: null, width: null, height: null }],
    prompt: `Prompt ${number}`,
    platform: "x",
    credits_charged: 1,
    credits_refunded: 0,
    requested_at: `2026-11-2${number}T09:30:00.000Z`,
    finished_at: `2026-11-2${number}T09:31:00.000Z`,
    ...more,
  });
}

function running(number: number) {
  return post(number, {
    state: "generating",
    caption: null,
    variants: [],
    credits_charged: null,
    credits_refunded: null,
    finished_at: null,
  });
}

function api(more: Record<string, Answer> = {}) {
  return answering({
    "GET /api/user/plan": json(planDocument(97)),
    "GET /social/posts": json({ items: [], next_cursor: null }),
    ...more,
  });
}

function Navigation({ take }: { take: (navigate: NavigateFunction) => void }) {
  take(useNavigate());
  return null;
}

const history = () => screen.getByRole("region", { name: "Your posts" });

beforeEach(() => sessionStorage.clear());

test("without posts it says so", async () => {
  api();
  renderInEnglish(<SocialPage />);
  expect(await screen.findByText(/You have no posts yet/)).toBeInTheDocument();
});

test("a post of before opens beside the form, and the focus goes there", async () => {
  api({ "GET /social/posts": json({ items: [post(2), post(1)], next_cursor: null }) });
  renderInEnglish(<SocialPage />);
  const item = await within(history()).findByRole("button", { name: /Caption 1.*Ready.*X/ });
  await userEvent.click(item);
  expect(screen.getByText("Post for X")).toHaveFocus();
  expect(await screen.findByRole("button", { name: "Copy caption" })).toBeInTheDocument();
  expect(item).toHaveAttribute("aria-current", "true");
});

test("back closes the post that was opened, and the focus is not lost", async () => {
  api({ "GET /social/posts": json({ items: [post(2), post(1)], next_cursor: null }) });
  let navigate: NavigateFunction | null = null;
  renderInEnglish(
    <main id="main" tabIndex={-1}>
      <SocialPage />
      <Navigation
        take={(each) => {
          navigate = each;
        }}
      />
    </main>,
  );
  const first = await within(history()).findByRole("button", { name: /Caption 1/ });
  await userEvent.click(first);
  // Once more is no further step.
  await userEvent.click(first);
  act(() => void navigate?.(-1));
  expect(await screen.findByText("Your post appears here.")).toBeInTheDocument();
  expect(screen.getByRole("main")).toHaveFocus();
});

test("a post that is being made shows as it goes on, also after one was away", async () => {
  const stream = eventStream();
  const { routes } = api({
    "GET /social/posts": json({ items: [running(2), post(1)], next_cursor: null }),
    [`GET /social/posts/${running(2).id}/events`]: stream.answer,
  });
  renderInEnglish(<SocialPage />);
  const item = await within(history()).findByRole("button", { name: /Prompt 2.*Being made/ });
  await userEvent.click(item);
  expect(await screen.findByText("Writing and drawing…")).toBeInTheDocument();
  stream.send("caption", { variant: 1, text: "Caption 2" });
  expect(await screen.findByText(/1 of 1 caption written/)).toBeInTheDocument();
  routes["GET /social/posts"] = json({ items: [post(2), post(1)], next_cursor: null });
  stream.send("done", post(2));
  expect(
    await within(history()).findByRole("button", { name: /Caption 2.*Ready/ }),
  ).toBeInTheDocument();
});

test("the list is asked again while a post in it is being made", async () => {
  const { routes } = api({
    "GET /social/posts": json({ items: [running(2)], next_cursor: null }),
  });
  renderInEnglish(<SocialPage />);
  await within(history()).findByRole("button", { name: /Being made/ });
  routes["GET /social/posts"] = json({ items: [post(2)], next_cursor: null });
  expect(
    await within(history()).findByRole("button", { name: /Ready/ }, { timeout: 4000 }),
  ).toBeInTheDocument();
});

test("older posts come page by page", async () => {
  const { asked } = api({
    "GET /social/posts": ({ query }) =>
      Response.json(
        query.get("cursor") === null
          ? { items: [post(2)], next_cursor: "older" }
          : { items: [post(1)], next_cursor: null },
      ),
  });
  renderInEnglish(<SocialPage />);
  await userEvent.click(await screen.findByRole("button", { name: "Show more" }));
  expect(await within(history()).findByRole("button", { name: /Caption 1/ })).toBeInTheDocument();
  expect(screen.getByText("These are all your posts.")).toHaveFocus();
  expect(asked.at(-1)?.query.get("cursor")).toBe("older");
});

test("a list that could not be asked for may be asked for again", async () => {
  const { routes } = api({ "GET /social/posts": problem(503, { detail: "ClickHouse is away" }) });
  renderInEnglish(<SocialPage />);
  expect(await screen.findByText("ClickHouse is away")).toBeInTheDocument();
  routes["GET /social/posts"] = json({ items: [post(1)], next_cursor: null });
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  await waitFor(() =>
    expect(within(history()).getByRole("button", { name: /Caption 1/ })).toBeInTheDocument(),
  );
});
