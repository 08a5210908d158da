import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Answer, answering, json, problem } from "../../tests/answers";
import { planDocument } from "../../tests/documents";
import { answerOf, client, open } from "../api/client";
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
