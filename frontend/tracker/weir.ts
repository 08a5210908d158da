/**
 * The tracker, /weir.js: page views and conversions of any website. No cookie, nothing stored.
 *
 *   <script defer src="https://weir.example.com/weir.js" data-site="site_…"></script>
 *   weir("conversion", { user_id: "u-42", plan: "team" })
 *
 * data-api: where Weir is, if not where the script came from. data-hash: what follows # is part
 * of the path. data-fetch: always fetch, never sendBeacon, for pages whose Referrer-Policy hides
 * their origin from Weir. docs/events.md says what is sent.
 *
 * Nothing here may throw into the page, and all of it has to stay below 2 kB gzipped.
 */

interface Details {
  path?: string;
  user_id?: string;
  [metadata: string]: unknown;
}

interface Weir {
  (type: string, details?: Details): void;
  /** Calls of the stub that pages may define before this script is there. */
  q?: ArrayLike<unknown>[];
  /** This script is here already. */
  on?: boolean;
}

declare global {
  interface Window {
    weir?: Weir;
  }
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
  interface Document {
    prerendering?: boolean;
  }
}

/** Of one request, in characters: no 100 events fit, nor 64 kB, which is what the edge takes. */
const MAX_BODY = 12_000;
const MAX_PATH = 2_048;
const RETRIES = 3;
const RETRY_MS = 1_000;

const safely =
  <A extends unknown[]>(act: (...given: A) => void) =>
  (...given: A): void => {
    try {
      act(...given);
    } catch (_) {
      // The page comes first.
    }
  };

const eventId = (): string =>
  crypto.randomUUID
    ? crypto.randomUUID()
    : // Outside of secure contexts there is none.
      "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
        (
          +digit ^
          ((crypto.getRandomValues(new Uint8Array(1))[0] as number) & (15 >> (+digit / 4)))
        ).toString(16),
      );

/**
 * The value as JSON that can be sent. Half of a surrogate pair, as texts have that were cut within
 * an emoji, is written as an escape that no reader has to take: it would cost all events of its
 * request. What becomes the same by that, such as two names, may stand there once.
 */
const toJson = (value: unknown): string =>
  JSON.stringify(
    JSON.parse(
      JSON.stringify(value).replace(/\\(ud[89a-f]..|.)/g, (found, after: string) =>
        after[1] ? "\ufffd" : found,
      ),
    ),
  );

/** Whether the visitor asks not to be named. */
const unnamed = (): boolean => !!navigator.globalPrivacyControl || navigator.doNotTrack === "1";

safely(() => {
  const tag = document.currentScript as HTMLScriptElement | null;
  const stub = window.weir;
  const data = tag ? tag.dataset : {};
  if (!tag || !data.site || stub?.on) {
    return;
  }
  const api = (data.api || new URL(tag.src).origin).replace(/\/$/, "");
  const url = `${api}/sites/${encodeURIComponent(data.site)}/events`;
  /** Events as JSON: what cannot be written is lost alone. */
  const queue: string[] = [];
  let lastPath = "";
  let lastSearch = "";

  const here = () => location.pathname + ("hash" in data ? location.hash : "");

  const send = (body: string, retries: number): void => {
    try {
      if (!("fetch" in data) && navigator.sendBeacon(url, body)) {
        return;
      }
    } catch (_) {
      // There is no sendBeacon, or not now.
    }
    fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" })
      // What is refused would be refused again; the others may be taken later.
      .then((answer) => (answer.status > 499 || answer.status === 429 ? Promise.reject() : 0))
      .catch(() => {
        if (retries) {
          setTimeout(safely(send), RETRY_MS * 4 ** (RETRIES - retries), body, retries - 1);
        }
      });
  };

  const flush = (): void => {
    while (queue[0] && !document.prerendering) {
      let body = queue.shift();
      while (queue[0] && (body + queue[0]).length < MAX_BODY) {
        body += `,${queue.shift()}`;
      }
      send(`[${body}]`, RETRIES);
    }
  };

  const weir: Weir = safely((type, details) => {
    const { path, user_id, ...metadata } = details || {};
    const named = !unnamed();
    if (!named) {
      delete metadata.referrer;
    }
    queue.push(
      toJson({
        event_type: type,
        path: `${path || here()}`.slice(0, MAX_PATH),
        user_id: named && user_id ? `${user_id}` : undefined,
        metadata,
        event_id: eventId(),
        occurred_at: new Date(),
      }),
    );
    // Before the page can go away, and one request for all of a turn.
    Promise.resolve().then(safely(flush));
  });

  const view = (details?: Details): void => {
    lastPath = here();
    lastSearch = location.search;
    weir("page_view", details);
  };

  /** Replacing the query alone is no other page: that is how pages note what they show. */
  const moved = (replaced: boolean): void => {
    if (document.prerendering) {
      return;
    }
    if (here() !== lastPath || (!replaced && location.search !== lastSearch)) {
      view();
    }
    lastSearch = location.search;
  };

  const start = (): void => {
    const referrer = document.referrer;
    // Only what another site says, and of that only the page.
    view(
      referrer && !referrer.startsWith(`${location.origin}/`)
        ? { referrer: referrer.replace(/[?#].*/, "") }
        : {},
    );
  };

  const movedHere = safely(() => moved(false));

  weir.on = true;
  window.weir = weir;
  for (const name of ["pushState", "replaceState"] as const) {
    safely(() => {
      const original = history[name];
      history[name] = function (this: History, ...given): void {
        original.apply(this, given);
        safely(moved)(name === "replaceState");
      };
    })();
  }
  addEventListener("popstate", movedHere);
  if ("hash" in data) {
    addEventListener("hashchange", movedHere);
  }
  addEventListener(
    "pageshow",
    safely((event: PageTransitionEvent) => {
      if (event.persisted) {
        view();
      }
    }),
  );
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", safely(start), { once: true });
  } else {
    safely(start)();
  }
  for (const call of stub?.q || []) {
    weir.apply(undefined, Array.from(call) as [string, Details?]);
  }
})();

export {};
