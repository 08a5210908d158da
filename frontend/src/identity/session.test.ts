import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Answer, answering, json, problem } from "../../tests/answers";
import { planDocument } from "../../tests/documents";
import { answerOf, client, open } from "../api/client";
import { tabMemory } from "../app/memory";
import { askForPost } from "../social/asking";
import { recalledDraft } from "../social/draft";
import { openSession } from "./session";

const AUTHORITY = "https://login.example.com";
const KEPT = `oidc.user:${AUTHORITY}:pages`;
const SETTINGS = {
  sign_in: "oidc",
  authority: AUTHORITY,
  client_id: "pages",
  scope: "openid",
};

function signedIn(sub = "alice") {
  const user = {
    access_token: "first",
    refresh_token: "refresh-1",
    token_type: "Bearer",
    scope: "openid",
    profile: { iss: AUTHORITY, sub },
    expires_at: Date.now() / 1000 + 300,
  };
  sessionStorage.setItem(KEPT, JSON.stringify(user));
}

/** Takes one token at a time. */
function server(taken: string, more: Record<string, Answer> = {}) {
  const guarded =
    (answer: Answer): Answer =>
    (asked) =>
      asked.headers.get("Authorization") === `Bearer ${taken}` ? answer(asked) : problem(401, {})();
  const answers = answering({
    "GET /pages/settings": json(SETTINGS),
    "GET /.well-known/openid-configuration": json({
      issuer: AUTHORITY,
      authorization_endpoint: `${AUTHORITY}/authorize`,
      token_endpoint: `${AUTHORITY}/token`,
    }),
    "POST /token": json({ access_token: "second", token_type: "Bearer", expires_in: 300 }),
    "GET /api/user/plan": guarded(json(planDocument(1))),
    "POST /social/post": guarded((asked) => Response.json(asked.body)),
    "GET /analytics/live": guarded(() => new Response("")),
    ...more,
  });
  const { fetch } = globalThis;
  // The signals of jsdom, which the library makes, are none for the requests of Node.
  vi.stubGlobal("fetch", (input: RequestInfo | URL, init: RequestInit = {}) =>
    fetch(input, { ...init, signal: null }),
  );
  return answers;
}

const plan = () => answerOf(client.GET("/api/user/plan"));
const kept = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as unknown;

beforeEach(() => {
  sessionStorage.clear();
  vi.stubGlobal("isSecureContext", true);
  // The timers of the browser have not looked yet, as after a sleep.
  vi.useFakeTimers({ toFake: ["Date"] });
  signedIn();
});
afterEach(() => vi.useRealTimers());

test("after a sleep the token is renewed once, and everything is asked again with it", async () => {
  const { asked } = server("second");
  const ended = vi.fn();
  await openSession(ended);
  vi.setSystemTime(Date.now() + 600_000);
  const wanted = { prompt: "An espresso" };
  const body = JSON.stringify(wanted);
  const posted = open("/social/post", { method: "POST", body });
  const stream = open("/analytics/live");
  expect((await plan()).remaining).toBe(1);
  expect(await (await posted).json()).toEqual(wanted);
  expect((await stream).ok).toBe(true);
  expect(asked.filter(({ path }) => path === "/token")).toHaveLength(1);
  expect(kept()).toMatchObject({ access_token: "second" });
  expect(ended).not.toHaveBeenCalled();
});

test("a refusal that comes after the token was renewed says nothing about the new one", async () => {
  let refuse = () => {};
  const late = new Promise<void>((resolve) => {
    refuse = resolve;
  });
  const { asked } = server("second", {
    "GET /api/plans": async ({ headers }) => {
      if (headers.get("Authorization") === "Bearer second") return Response.json({ plans: [] });
      await late;
      return problem(401, {})();
    },
  });
  const ended = vi.fn();
  await openSession(ended);
  const catalogue = answerOf(client.GET("/api/plans"));
  expect((await plan()).remaining).toBe(1);
  refuse();
  expect(await catalogue).toEqual({ plans: [] });
  expect(asked.filter(({ path }) => path === "/token")).toHaveLength(1);
  expect(kept()).toMatchObject({ access_token: "second" });
  expect(ended).not.toHaveBeenCalled();
});

test("a new token that is refused too ends the session, and is not tried a third time", async () => {
  const { asked } = server("none");
  const ended = vi.fn();
  await openSession(ended);
  await expect(plan()).rejects.toMatchObject({ status: 401 });
  await vi.waitFor(() => expect(ended).toHaveBeenCalledOnce());
  expect(ended.mock.calls[0]?.[0]).toMatchObject({ why: "refused" });
  expect(asked.filter(({ path }) => path === "/api/user/plan")).toHaveLength(2);
  expect(asked.filter(({ path }) => path === "/token")).toHaveLength(1);
  expect(kept()).toBeNull();
});

test("a page that is opened with an expired token renews it", async () => {
  const { asked } = server("second");
  vi.setSystemTime(Date.now() + 600_000);
  await openSession(vi.fn());
  expect((await plan()).remaining).toBe(1);
  expect(asked.filter(({ path }) => path === "/api/user/plan")).toHaveLength(1);
});

const DRAFT = "weir.social.draft";
const CAPTION = "weir.social.caption.a-post.1";

/** What the pages keep of a post that is thought of, and of one that was changed. */
function write() {
  tabMemory.keep(DRAFT, JSON.stringify({ prompt: "Our secret espresso" }));
  tabMemory.keep(CAPTION, "Changed");
}

const written = () => [recalledDraft().prompt, tabMemory.recall(CAPTION)];

test("what somebody wrote is there after another sign-in of theirs, and not for others", async () => {
  server("first");
  await openSession(vi.fn());
  write();
  // The session ended by itself, and the same user signs in again.
  signedIn();
  await openSession(vi.fn());
  expect(written()).toEqual(["Our secret espresso", "Changed"]);
  signedIn("bob");
  await openSession(vi.fn());
  expect(written()).toEqual(["", null]);
});

test("who signs out leaves nothing behind for the next user, also where nothing can be kept", async () => {
  const keys: (string | null)[] = [];
  const { routes } = server("first", {
    "POST /social/post": ({ headers }) => {
      keys.push(headers.get("Idempotency-Key"));
      return problem(503, {})();
    },
  });
  const full = vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  const session = await openSession(vi.fn());
  const wanted = {
    prompt: "Our secret espresso",
    platform: "instagram",
    tone: "friendly",
    language: "en",
    variants: 1,
  } as const;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(askForPost(wanted)).rejects.toMatchObject({ status: 503 });
  }
  full.mockRestore();
  write();
  // The provider is away: the page stays as it is.
  delete routes["GET /.well-known/openid-configuration"];
  await session.signOut?.();
  expect(written()).toEqual(["", null]);
  expect(Object.keys(sessionStorage)).toEqual([]);
  await expect(askForPost(wanted)).rejects.toMatchObject({ status: 503 });
  const [first, again, next] = keys;
  expect(again).toBe(first);
  expect(next).not.toBe(first);
});
