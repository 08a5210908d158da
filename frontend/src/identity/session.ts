/** Who uses the pages: the demo user of one machine, or who signed in at the identity provider. */

import type { User, UserManager } from "oidc-client-ts";
import { answerOf, askAs, client, type Schemas } from "../api/client";
import { tabMemory } from "../app/memory";

export const RETURN_PATH = "/signed-in";

export type PagesSettings = Schemas["PagesDocument"];

/** Sign-in is needed and cannot be offered. */
export class SignInMissing extends Error {}

/** Who was here has signed out. */
export class SignedOut extends Error {}

/**
 * Signing in did not work, and would not by itself the next time: asking again at once could send
 * the browser to and fro for ever.
 *
 * `declined`: the provider said no, or `reason`. `unreachable`: it gave no answer that can be used.
 * `refused`: the API does not take the token that it has just given. `insecure`: the browser signs
 * nobody in at this address.
 */
export class SignInFailed extends Error {
  constructor(
    readonly why: "declined" | "unreachable" | "refused" | "insecure",
    readonly reason: string | null = null,
  ) {
    super(why);
  }
}

export interface Session {
  settings: PagesSettings;
  /** Ends it here and at the provider; null where there is nothing to end. */
  signOut: (() => Promise<void>) | null;
}

/** A token that is refused so soon was never good: another one would be refused too. */
const FRESH_MS = 60_000;

/**
 * Opens the session, or sends the browser to the provider and never returns.
 *
 * `ended` is told why, once, when the session ends and the browser stays here. Throws Problem when
 * the API cannot be asked, SignInMissing and SignInFailed.
 */
export async function openSession(
  ended: (why: SignedOut | SignInFailed) => void,
): Promise<Session> {
  const settings = await answerOf(client.GET("/pages/settings"));
  if (settings.sign_in === "missing") throw new SignInMissing();
  if (settings.sign_in === "none") return { settings, signOut: null };
  const provider = await openProvider(settings);
  const renew = renewing(provider);
  let user = await returned(provider);
  let given = user === null ? Number.NEGATIVE_INFINITY : performance.now();
  if (user === null) {
    user = await provider.getUser();
    if (user?.expired === true) {
      user = await renew(user);
      given = performance.now();
    }
    if (user === null) return await signIn(provider);
  }
  keepFor(user);
  let current: User | null = user;
  let leaving = false;
  provider.events.addUserLoaded((renewed) => {
    if (leaving) {
      // It was under way when the session ended.
      void provider.removeUser();
      return;
    }
    current = renewed;
    given = performance.now();
  });
  provider.events.addAccessTokenExpiring(() => void renew(current));
  const leave = async (fresh: boolean) => {
    await provider.removeUser();
    if (fresh) throw new SignInFailed("refused");
    await signIn(provider);
  };
  askAs({
    token: () => current?.access_token ?? null,
    refused: async (token) => {
      // An answer may come late, after the token was renewed.
      if (current?.access_token !== token) return current?.access_token ?? null;
      const fresh = current.expired !== true && performance.now() - given < FRESH_MS;
      const renewed = fresh ? null : await renew(current);
      // Many questions may be refused at once; the browser leaves once.
      if (leaving) return null;
      if (renewed !== null) return renewed.access_token;
      leaving = true;
      leave(fresh).catch(ended);
      return null;
    },
  });
  return {
    settings,
    signOut: async () => {
      leaving = true;
      current = null;
      tabMemory.clear();
      // The browser may keep this page as it is, and show it again when one goes back.
      window.addEventListener("pageshow", (event) => {
        if (event.persisted) window.location.reload();
      });
      try {
        await provider.signoutRedirect();
      } catch {
        // The provider has no page for it, or is away: forgotten here, at least.
        await provider.removeUser();
        ended(new SignedOut());
      }
    },
  };
}

const OWNER = "weir.owner";

/** What the tab keeps, such as a prompt, is there for whoever wrote it and for nobody else. */
function keepFor({ profile: { iss, sub } }: User): void {
  const owner = JSON.stringify([iss, sub]);
  if (tabMemory.recall(OWNER) === owner) return;
  tabMemory.clear();
  tabMemory.keep(OWNER, owner);
}

/**
 * Asks for a new token with the refresh token: null where there is none, or it is not taken.
 *
 * Who asks meanwhile gets the same answer: most providers take a refresh token once.
 */
function renewing(provider: UserManager): (user: User | null) => Promise<User | null> {
  let underWay: Promise<User | null> | null = null;
  return async (user) => {
    // Without one it would need a frame of the provider's, which the pages do not allow.
    if (!user?.refresh_token) return null;
    underWay ??= provider
      .signinSilent()
      .catch(() => null)
      .finally(() => {
        underWay = null;
      });
    return await underWay;
  };
}

async function openProvider(settings: PagesSettings): Promise<UserManager> {
  if (!window.isSecureContext) throw new SignInFailed("insecure");
  // Only who signs in needs it.
  const { UserManager, WebStorageStateStore } = await import("oidc-client-ts");
  // Tokens, and what is remembered while one signs in, go with the tab.
  const store = window.sessionStorage;
  return new UserManager({
    authority: settings.authority ?? "",
    client_id: settings.client_id ?? "",
    scope: settings.scope ?? "openid",
    redirect_uri: window.location.origin + RETURN_PATH,
    // One goes back past the provider, not to the page that leads there again.
    redirectMethod: "replace",
    post_logout_redirect_uri: `${window.location.origin}/`,
    // Code flow with PKCE is the library's only one.
    userStore: new WebStorageStateStore({ store }),
    stateStore: new WebStorageStateStore({ store }),
    automaticSilentRenew: false,
  });
}

/**
 * The user who comes back from the provider, at the place that they left; null: none does.
 *
 * Throws SignInFailed, at that place too.
 */
async function returned(provider: UserManager): Promise<User | null> {
  if (window.location.pathname !== RETURN_PATH) return null;
  const { ErrorResponse, SigninState } = await import("oidc-client-ts");
  const answer = window.location.href;
  const said = new URL(answer).searchParams;
  const begun = await provider.settings.stateStore.get(said.get("state") ?? "");
  const left = begun === null ? null : (await SigninState.fromStorageString(begun)).data;
  // The answer can be used once: it must not be found there when the page is loaded again.
  window.history.replaceState(null, "", placeOf(left));
  if (begun === null) {
    // What anybody may have written into the address is not shown.
    if (said.has("error")) throw new SignInFailed("declined");
    // Loaded again, or begun in another tab.
    return null;
  }
  try {
    return await provider.signinRedirectCallback(answer);
  } catch (error) {
    if (error instanceof ErrorResponse) {
      throw new SignInFailed("declined", error.error_description ?? error.error);
    }
    throw new SignInFailed("unreachable");
  }
}

function placeOf(left: unknown): string {
  return typeof left === "string" && /^\/(?![/\\])/.test(left) ? left : "/";
}

async function signIn(provider: UserManager): Promise<never> {
  const { pathname, search, hash } = window.location;
  try {
    await provider.signinRedirect({ state: pathname + search + hash });
  } catch {
    throw new SignInFailed("unreachable");
  }
  return await new Promise<never>(() => {});
}
