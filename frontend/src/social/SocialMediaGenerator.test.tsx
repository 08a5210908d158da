import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Link, Route, Routes, useLocation } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import {
  type Answer,
  answering,
  eventStream,
  json,
  problem,
  unreachable,
} from "../../tests/answers";
import { planDocument, postDocument } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { SocialMediaGenerator } from "./SocialMediaGenerator";

const ID = postDocument().id;
const EVENTS = `GET /social/posts/${ID}/events`;
const PICTURE = `https://weir.example.com/media/${"ab".repeat(32)}.png`;

const PLAN = planDocument(97);
const QUEUED = postDocument();

function variant(number: number, caption: string) {
  return { number, caption, image_url: PICTURE, width: 1024, height: 1024 };
}

function done(caption: string, more: Record<string, unknown> = {}) {
  return {
    ...QUEUED,
    state: "done",
    caption,
    image_url: PICTURE,
    variants: [variant(1, caption)],
    credits_charged: 1,
    credits_refunded: 0,
    finished_at: "2026-11-24T09:30:20.000Z",
    ...more,
  };
}

function api(more: Record<string, Answer> = {}) {
  return answering({
    "GET /api/user/plan": json(PLAN),
    "GET /social/posts": json({ items: [], next_cursor: null }),
    "POST /social/post": json(QUEUED, 202, { Location: `/social/posts/${ID}` }),
    ...more,
  });
}

const prompt = () => screen.getByRole("textbox", { name: "What is the post about?" });
const generate = () => screen.getByRole("button", { name: /Generate for|Generating/ });

/** Shows a post that is there already. */
function shown(post: Record<string, unknown>, more: Record<string, Answer> = {}) {
  const asked = api({ [`GET /social/posts/${ID}`]: json(post), ...more });
  renderInEnglish(<SocialMediaGenerator />, `/social-generator?post=${ID}`);
  return asked;
}

beforeEach(() => sessionStorage.clear());

test("a prompt becomes a post, step by step as the server tells", async () => {
  const stream = eventStream();
  const { asked, routes } = api({ [EVENTS]: stream.answer });
  renderInEnglish(<SocialMediaGenerator />, "/social-generator");
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Platform" }), "instagram");
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Variants" }), "2");
  await userEvent.click(screen.getByRole("button", { name: "Generate for 2 credits" }));

  expect(await screen.findByText("Waiting for its turn…")).toBeInTheDocument();
  expect(screen.getAllByText("Writing the caption…")).toHaveLength(2);
  expect(generate()).toHaveAttribute("aria-disabled", "true");
  expect(screen.getByText("Post for Instagram")).toHaveFocus();
  const post = asked.find((each) => each.method === "POST");
  expect(post?.headers.get("prefer")).toBe("respond-async");
  expect(post?.headers.get("idempotency-key")).toMatch(/^[0-9a-f-]{36}$/);
  expect(post?.body).toEqual({
    prompt: "A new espresso",
    platform: "instagram",
    tone: "friendly",
    language: "en",
    variants: 2,
  });

  stream.send("state", { id: ID, state: "generating" });
  expect(await screen.findByText("Writing and drawing…")).toBeInTheDocument();
  stream.send("caption", { variant: 2, text: "The second caption" });
  expect(await screen.findByText("The second caption")).toBeInTheDocument();
  expect(screen.getByText(/1 of 2 captions written/)).toBeInTheDocument();
  stream.send("picture", { variant: 1, url: PICTURE });
  expect(await screen.findByText(/1 of 2 pictures drawn/)).toBeInTheDocument();

  const before = asked.filter((each) => each.path === "/api/user/plan").length;
  routes["GET /api/user/plan"] = json({ ...PLAN, remaining: 95 });
  const variants = [variant(1, "The first caption"), variant(2, "The second caption")];
  stream.send("done", done("The first caption", { variants, credits_charged: 2 }));
  expect(await screen.findByText("The first caption")).toBeInTheDocument();
  expect(screen.getByText("Your post is ready.")).toBeInTheDocument();
  const [picture] = screen.getAllByRole("img", { name: "Picture for: A new espresso" });
  // Our own server has it too, whatever it is called from elsewhere.
  expect(picture).toHaveAttribute("src", `/media/${"ab".repeat(32)}.png`);
  expect(picture).toHaveAttribute("width", "1024");
  await waitFor(() =>
    expect(asked.filter((each) => each.path === "/api/user/plan").length).toBeGreaterThan(before),
  );
  expect(generate()).toHaveAttribute("aria-disabled", "false");
});

test("Ctrl+Enter generates", async () => {
  const { asked } = api({ [EVENTS]: eventStream().answer });
  renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "A new espresso{Control>}{Enter}{/Control}");
  expect(await screen.findByText("Waiting for its turn…")).toBeInTheDocument();
  expect(asked.filter((each) => each.method === "POST")).toHaveLength(1);
});

test("a blank prompt is refused with a message, and not sent", async () => {
  const { asked } = api();
  renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "  \n ");
  await userEvent.click(generate());
  expect(prompt()).toBeInvalid();
  expect(prompt()).toHaveAccessibleDescription("Say what the post is about.");
  expect(prompt()).toHaveFocus();
  expect(asked.filter((each) => each.method === "POST")).toHaveLength(0);
});

test("a prompt that is too long says by how much; an emoji counts once", async () => {
  const { asked } = api();
  renderInEnglish(<SocialMediaGenerator />);
  prompt().focus();
  await userEvent.paste("😀".repeat(10_000));
  expect(prompt()).toHaveAccessibleDescription(/10,000 of 10,000/);
  await userEvent.paste("ab");
  expect(prompt()).toHaveAccessibleDescription("2 characters too many; at most 10,000.");
  await userEvent.click(generate());
  expect(asked.filter((each) => each.method === "POST")).toHaveLength(0);
});

test("without credits it says why, until when, and where there are more", async () => {
  api({ "GET /api/user/plan": json(planDocument(0)) });
  renderInEnglish(<SocialMediaGenerator />);
  expect(await screen.findByText("Your credits are used up")).toBeInTheDocument();
  expect(generate()).toHaveAttribute("aria-disabled", "true");
  expect(generate()).toHaveAccessibleDescription(
    /All 100 credits of this period are spent. New ones come on Dec 1, 2026/,
  );
  expect(screen.getByRole("link", { name: "See plans" })).toHaveAttribute("href", "/plan");
});

test("a refusal of the quota explains itself, and keeps the focus", async () => {
  const { asked, routes } = api({
    "POST /social/post": problem(403, {
      code: "quota_exceeded",
      requested: 1,
      limit: 100,
      quota_used: 100,
      remaining: 0,
      resets_at: PLAN.resets_at,
    }),
  });
  renderInEnglish(<SocialMediaGenerator />);
  await screen.findByRole("button", { name: "Generate for 1 credit" });
  routes["GET /api/user/plan"] = json(planDocument(0));
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.click(generate());
  expect(await screen.findByText("Your credits are used up")).toBeInTheDocument();
  expect(generate()).toHaveAttribute("aria-disabled", "true");
  expect(prompt()).toHaveValue("A new espresso");
  // Where it was pressed, and it is not sent again.
  expect(generate()).toHaveFocus();
  await userEvent.click(generate());
  expect(posts(asked)).toHaveLength(1);
});

test("fewer credits than variants: fewer may be chosen", async () => {
  api({ "GET /api/user/plan": json(planDocument(2)) });
  renderInEnglish(<SocialMediaGenerator />);
  const variants = screen.getByRole("combobox", { name: "Variants" });
  await userEvent.selectOptions(variants, "3");
  expect(await screen.findByText("You have only 2 credits left")).toBeInTheDocument();
  await userEvent.selectOptions(variants, "2");
  expect(generate()).toHaveAttribute("aria-disabled", "false");
});

test("a failure says why and that the credits are back, and may be tried again", async () => {
  const stream = eventStream();
  const { asked } = api({ [EVENTS]: stream.answer });
  renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.click(generate());
  await screen.findByText("Waiting for its turn…");
  stream.send("failed", {
    ...QUEUED,
    state: "failed",
    reason: "provider_timeout",
    detail: "OpenAI took longer than 60 s",
    credits_charged: 1,
    credits_refunded: 1,
  });
  const alert = await screen.findByRole("alert");
  expect(alert).toHaveTextContent("The post could not be made");
  expect(within(alert).getByText("OpenAI took too long. Try again.")).toBeInTheDocument();
  expect(within(alert).getByText("Your credit is back.")).toBeInTheDocument();
  await userEvent.click(within(alert).getByRole("button", { name: "Try again for 1 credit" }));
  await waitFor(() => expect(posts(asked)).toHaveLength(2));
  const [first, second] = posts(asked);
  expect(second?.body).toEqual(first?.body);
  // A failed post stays failed under its key.
  expect(second?.headers.get("idempotency-key")).not.toBe(first?.headers.get("idempotency-key"));
});

test.each([
  ["no answer", unreachable],
  ["503", problem(503, { detail: "nobody decided in time" })],
])("after %s the same request is sent under the same key", async (_, answer) => {
  const { asked, routes } = api({ "POST /social/post": answer, [EVENTS]: eventStream().answer });
  renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.click(generate());
  await userEvent.click(await screen.findByRole("button", { name: "Try again" }));
  await waitFor(() => expect(posts(asked)).toHaveLength(2));
  routes["POST /social/post"] = json(QUEUED, 202);
  await userEvent.click(await screen.findByRole("button", { name: "Try again" }));
  expect(await screen.findByText("Waiting for its turn…")).toBeInTheDocument();
  const keys = posts(asked).map((each) => each.headers.get("idempotency-key"));
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
});

test("who leaves before the answer is not brought back, and the answer is kept", async () => {
  let answer = (_: Response) => {};
  const { asked } = api({
    "POST /social/post": () =>
      new Promise<Response>((resolve) => {
        answer = resolve;
      }),
  });
  renderInEnglish(
    <>
      <Link to="/plan">Away</Link>
      <Where />
      <Routes>
        <Route path="/social-generator" element={<SocialMediaGenerator />} />
        <Route path="*" element={<p>Another page</p>} />
      </Routes>
    </>,
    "/social-generator",
  );
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.click(generate());
  await waitFor(() => expect(posts(asked)).toHaveLength(1));
  await userEvent.click(screen.getByRole("link", { name: "Away" }));
  expect(screen.getByText("Another page")).toBeInTheDocument();
  expect(sessionStorage.getItem("weir.social.draft")).not.toBeNull();
  answer(json(QUEUED, 202)());
  // What is known of it is put right all the same.
  await waitFor(() => expect(sessionStorage.getItem("weir.social.draft")).toBeNull());
  await act(() => new Promise((resolve) => setTimeout(resolve)));
  expect(screen.getByTestId("where")).toHaveTextContent(/^\/plan$/);
});

test("another prompt is sent under another key", async () => {
  const { asked } = api({ "POST /social/post": unreachable });
  renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "A new espresso");
  await userEvent.click(generate());
  await screen.findByRole("button", { name: "Try again" });
  await userEvent.type(prompt(), " blend");
  await userEvent.click(generate());
  await waitFor(() => expect(posts(asked)).toHaveLength(2));
  const [first, second] = posts(asked);
  expect(second?.headers.get("idempotency-key")).not.toBe(first?.headers.get("idempotency-key"));
});

test("the prompt outlives a trip to the sign-in", async () => {
  api();
  const { unmount } = renderInEnglish(<SocialMediaGenerator />);
  await userEvent.type(prompt(), "A new espresso");
  unmount();
  renderInEnglish(<SocialMediaGenerator />);
  expect(prompt()).toHaveValue("A new espresso");
});

test("a post of which a part could not be made says so", async () => {
  const refunds = { credits_charged: 2, credits_refunded: 1, reason: "content_refused" };
  shown(done("A caption", refunds));
  expect(await screen.findByText("1 variant could not be made")).toBeInTheDocument();
  expect(screen.getByText(/OpenAI refused the prompt/)).toBeInTheDocument();
  expect(screen.getByText("Your credit is back.")).toBeInTheDocument();
  expect(screen.getByText("A caption")).toBeInTheDocument();
});

test("a post of the stub says that OpenAI did not make it", async () => {
  shown(done("A caption", { stub: true }));
  expect(await screen.findByText("Without OpenAI, for trying out")).toBeInTheDocument();
});

test("a changed caption says when it is too long, and is what is copied", async () => {
  const user = userEvent.setup();
  shown(done("A".repeat(279), { platform: "x" }));
  await user.click(await screen.findByRole("button", { name: "Edit" }));
  const caption = screen.getByRole("textbox", { name: "Caption" });
  expect(caption).toHaveFocus();
  expect(caption).toHaveAccessibleDescription("279 of 280 characters for X");
  await user.type(caption, "BC");
  expect(caption).toBeInvalid();
  expect(caption).toHaveAccessibleDescription("1 character too many for X.");
  await user.click(screen.getByRole("button", { name: "Copy caption" }));
  expect(await navigator.clipboard.readText()).toBe(`${"A".repeat(279)}BC`);
  await user.click(screen.getByRole("button", { name: "Undo changes" }));
  expect(caption).toHaveValue("A".repeat(279));
  expect(caption).toHaveFocus();
});

test("who undoes changes without editing stays at the caption", async () => {
  const user = userEvent.setup();
  shown(done("A caption"));
  await user.click(await screen.findByRole("button", { name: "Edit" }));
  await user.type(screen.getByRole("textbox", { name: "Caption" }), "!");
  await user.click(screen.getByRole("button", { name: "Done" }));
  await user.click(screen.getByRole("button", { name: "Undo changes" }));
  expect(screen.getByRole("button", { name: "Edit" })).toHaveFocus();
});

test("markup in a caption is text", async () => {
  const markup = '<script>alert("x")</script><img src=x onerror=alert(1)>';
  shown(done(markup));
  expect(await screen.findByText(markup)).toBeInTheDocument();
  expect(document.querySelector("main script, img[onerror]")).toBeNull();
});

test("the picture is saved under a name that says what it is", async () => {
  shown(done("A caption"), {
    [`GET /media/${"ab".repeat(32)}.png`]: () => new Response("PNG"),
  });
  vi.stubGlobal(
    "URL",
    class extends URL {
      static override createObjectURL = () => "blob:a-picture";
      static override revokeObjectURL = () => {};
    },
  );
  const saved: string[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    saved.push(`${this.href} as ${this.download}`);
  });
  await userEvent.click(await screen.findByRole("link", { name: "Download picture" }));
  await waitFor(() => expect(saved).toEqual(["blob:a-picture as instagram-2026-11-24-1.png"]));
});

test.each([404, 422])(
  "an address of no post (%d) says so, and leads to a new one",
  async (status) => {
    shown(QUEUED, { [`GET /social/posts/${ID}`]: problem(status, { detail: "no such post" }) });
    const alert = await screen.findByRole("alert");
    expect(alert).toHaveTextContent("There is no such post");
    expect(within(alert).queryByRole("button", { name: "Try again" })).toBeNull();
    await userEvent.click(within(alert).getByRole("button", { name: "New post" }));
    expect(screen.queryByRole("alert")).toBeNull();
    expect(prompt()).toHaveFocus();
  },
);

function posts(asked: ReturnType<typeof answering>["asked"]) {
  return asked.filter((each) => each.method === "POST");
}

function Where() {
  const { pathname, search } = useLocation();
  return <p data-testid="where">{pathname + search}</p>;
}
