// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

interface Sent {
  event_type: string;
  path: string;
  event_id: string;
  occurred_at: string;
  user_id?: string;
  metadata: Record<string, unknown>;
}

const URL_OF_EVENTS = "https://weir.example.com/sites/site_abcdefghijklmnop/events";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const beacon = vi.fn<(url: string, body: string) => boolean>();
const fetched = vi.fn<(url: string, init: RequestInit) => Promise<{ status: number }>>();
let undo: (() => void)[] = [];

/** Gives an object a member for one test. */
function set(on: object, name: string, value: unknown): void {
  const before = Object.getOwnPropertyDescriptor(on, name);
  Object.defineProperty(on, name, { value, configurable: true, writable: true });
  undo.push(() => {
    Reflect.deleteProperty(on, name);
    if (before) Object.defineProperty(on, name, before);
  });
}

function tag(attributes: Record<string, string> = {}): HTMLScriptElement {
  const script = document.createElement("script");
  script.src = "https://weir.example.com/weir.js";
  script.dataset.site = "site_abcdefghijklmnop";
  for (const [name, value] of Object.entries(attributes)) script.setAttribute(name, value);
  return script;
}

/** Runs the script as the tag would. */
async function load(script: HTMLScriptElement | null = tag()): Promise<void> {
  set(document, "currentScript", script);
  vi.resetModules();
  await import("./weir");
  await Promise.resolve();
}

const requests = (): Sent[][] => beacon.mock.calls.map(([, body]) => JSON.parse(body) as Sent[]);
const sent = (): Sent[] => requests().flat();
const paths = (): string[] => sent().map((each) => each.path);

/** Back or forward, as far as the browser tells the page. */
async function travel(by: number): Promise<void> {
  const arrived = new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
  history.go(by);
  await arrived;
  await Promise.resolve();
}

beforeEach(() => {
  history.replaceState(null, "", "/start?secret=1#part");
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target) as EventTarget["addEventListener"];
    const watched: EventTarget["addEventListener"] = (name, listener, options) => {
      add(name, listener, options);
      if (listener) undo.push(() => target.removeEventListener(name, listener));
    };
    set(target, "addEventListener", watched);
  }
  beacon.mockReset().mockReturnValue(true);
  fetched.mockReset().mockResolvedValue({ status: 202 });
  set(navigator, "sendBeacon", beacon);
  set(window, "fetch", fetched);
});

afterEach(() => {
  vi.useRealTimers();
  for (const each of undo.reverse()) each();
  undo = [];
  Reflect.deleteProperty(history, "pushState");
  Reflect.deleteProperty(history, "replaceState");
  Reflect.deleteProperty(window, "weir");
});

describe("a page view", () => {
  it("is sent on load as text, in one request", async () => {
    await load();
    expect(beacon).toHaveBeenCalledTimes(1);
    const [url, body] = beacon.mock.calls[0] as [string, unknown];
    expect(url).toBe(URL_OF_EVENTS);
    expect(body).toBeTypeOf("string");
    const [event] = sent();
    expect(event).toEqual({
      event_type: "page_view",
      path: "/start",
      metadata: {},
      event_id: expect.stringMatching(UUID),
      occurred_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  it("goes where data-api says", async () => {
    await load(tag({ "data-api": "https://other.example/weir/" }));
    expect(beacon.mock.calls[0]?.[0]).toBe(
      "https://other.example/weir/sites/site_abcdefghijklmnop/events",
    );
  });

  it("is sent for each page of a single-page application, back and forward included", async () => {
    await load();
    history.pushState(null, "", "/a");
    history.pushState(null, "", "/b");
    await Promise.resolve();
    await travel(-1);
    await travel(1);
    expect(paths()).toEqual(["/start", "/a", "/b", "/a", "/b"]);
    expect(new Set(sent().map((each) => each.event_id)).size).toBe(5);
  });

  it("is sent when the query changes, without the query", async () => {
    await load();
    history.pushState(null, "", "/start?secret=2");
    await Promise.resolve();
    expect(paths()).toEqual(["/start", "/start"]);
    expect(JSON.stringify(requests())).not.toContain("secret");
  });

  it("is not sent again for the same place, nor for a query that is replaced", async () => {
    await load();
    history.pushState({ scroll: 1 }, "", "/start?secret=1");
    history.replaceState(null, "", "/start?secret=2");
    history.pushState(null, "", "/start?secret=2");
    await Promise.resolve();
    expect(paths()).toEqual(["/start"]);
    history.replaceState(null, "", "/other");
    await Promise.resolve();
    expect(paths()).toEqual(["/start", "/other"]);
  });

  it("counts what follows # only with data-hash", async () => {
    await load();
    history.pushState(null, "", "/start?secret=1#two");
    dispatchEvent(new HashChangeEvent("hashchange"));
    await Promise.resolve();
    expect(paths()).toEqual(["/start"]);
  });

  it("has what follows # in its path with data-hash, once for each", async () => {
    await load(tag({ "data-hash": "" }));
    location.hash = "#/two";
    await vi.waitFor(() => expect(paths()).toEqual(["/start#part", "/start#/two"]));
    dispatchEvent(new HashChangeEvent("hashchange"));
    dispatchEvent(new PopStateEvent("popstate"));
    await Promise.resolve();
    expect(paths()).toHaveLength(2);
    // By who has kept the browser's own.
    History.prototype.pushState.call(history, null, "", "#/three");
    dispatchEvent(new HashChangeEvent("hashchange"));
    await Promise.resolve();
    expect(paths()[2]).toBe("/start#/three");
  });

  it("is sent when the page comes back out of the browser's cache", async () => {
    await load();
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: false }));
    await Promise.resolve();
    expect(paths()).toEqual(["/start"]);
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    await Promise.resolve();
    expect(paths()).toEqual(["/start", "/start"]);
  });

  it("of a page that is made ahead is sent once somebody sees it", async () => {
    set(document, "prerendering", true);
    await load();
    history.pushState(null, "", "/seen");
    window.weir?.("early");
    await Promise.resolve();
    expect(beacon).not.toHaveBeenCalled();
    set(document, "prerendering", false);
    document.dispatchEvent(new Event("prerenderingchange"));
    await Promise.resolve();
    expect(sent().map((each) => [each.event_type, each.path])).toEqual([
      ["early", "/seen"],
      ["page_view", "/seen"],
    ]);
  });

  it("says which page of another site led here, once", async () => {
    set(document, "referrer", "https://search.example/find?q=private#x");
    await load();
    history.pushState(null, "", "/next");
    await Promise.resolve();
    expect(sent().map((each) => each.metadata)).toEqual([
      { referrer: "https://search.example/find" },
      {},
    ]);
  });

  it("does not name the own site as what led here", async () => {
    set(document, "referrer", `${location.origin}/before`);
    await load();
    expect(sent()[0]?.metadata).toEqual({});
  });
});

describe("weir()", () => {
  it("sends conversions with their user, and what else is given as metadata", async () => {
    await load();
    window.weir?.("conversion", { path: "/signup", user_id: "u-42", plan: "team", seats: 3 });
    await Promise.resolve();
    expect(sent()[1]).toMatchObject({
      event_type: "conversion",
      path: "/signup",
      user_id: "u-42",
      metadata: { plan: "team", seats: 3 },
    });
  });

  it("sends what is called within one turn in one request", async () => {
    await load();
    for (let each = 0; each < 5; each += 1) window.weir?.("step", { each });
    await Promise.resolve();
    expect(requests().map((each) => each.length)).toEqual([1, 5]);
  });

  it("keeps requests within what the edge takes", async () => {
    await load();
    for (let each = 0; each < 500; each += 1) window.weir?.("x", { path: "/" });
    window.weir?.("x", { text: "long".repeat(3_000) });
    await Promise.resolve();
    expect(sent()).toHaveLength(502);
    for (const [, body] of beacon.mock.calls) {
      expect((JSON.parse(body) as unknown[]).length).toBeLessThanOrEqual(100);
      expect(body.length).toBeLessThan(65_536);
    }
  });

  it("takes over what the stub was called with", async () => {
    const calls: ArrayLike<unknown>[] = [];
    // As the documentation has it: each call as its arguments.
    (function stub(..._: unknown[]) {
      // biome-ignore lint/complexity/noArguments: what pages copy does so
      calls.push(arguments);
    })("conversion", { user_id: "u-1" });
    set(
      window,
      "weir",
      Object.assign(() => {}, { q: calls }),
    );
    await load();
    expect(sent().map((each) => [each.event_type, each.user_id])).toEqual([
      ["page_view", undefined],
      ["conversion", "u-1"],
    ]);
    window.weir?.("later");
    await Promise.resolve();
    expect(sent()).toHaveLength(3);
  });

  it("sends text that was cut within an emoji so that any reader takes it", async () => {
    await load();
    window.weir?.("search", {
      query: "caf\u00e9 \ud83c",
      "name\ud83d": ["\udf89 begins", { deep: "a\ud83cb" }],
      toJSON: undefined,
    });
    window.weir?.("x", { path: "/\udf89", user_id: "u\ud83d" });
    window.weir?.("y", { path: `/${"a".repeat(2_046)}\u{1f389}` });
    await Promise.resolve();
    const [, body] = beacon.mock.calls[1] as [string, string];
    // As an escape it would be no text, and reading would end there for the events beside it too.
    expect(body).not.toMatch(/\\ud[89a-f]/i);
    expect(JSON.stringify(JSON.parse(body))).toBe(body);
    const [, search, cut, long] = sent();
    expect(search?.metadata).toEqual({
      query: "caf\u00e9 \ufffd",
      "name\ufffd": ["\ufffd begins", { deep: "a\ufffdb" }],
    });
    expect([cut?.path, cut?.user_id]).toEqual(["/\ufffd", "u\ufffd"]);
    expect(long?.path).toBe(`/${"a".repeat(2_046)}\ufffd`);
  });

  it("changes nothing of other text", async () => {
    await load();
    const texts = [
      "\u{1f389} whole",
      "\\ud83c as it is written",
      "\\\\ud83c twice",
      '\n\t\u0007"\\',
      "\ufffd\u2028",
    ];
    window.weir?.("x", { texts, "\\ud83c": 1 });
    await Promise.resolve();
    expect(sent()[1]?.metadata).toEqual({ texts, "\\ud83c": 1 });
  });

  it("names nothing twice, which would not be taken", async () => {
    await load();
    window.weir?.("x", { "\ud83c": 1, "\ud83d": 2 });
    await Promise.resolve();
    expect(beacon.mock.calls[1]?.[1].match(/\ufffd/g)).toHaveLength(1);
  });

  it("makes ids where there is no secure context", async () => {
    set(crypto, "randomUUID", undefined);
    await load();
    for (let each = 0; each < 50; each += 1) window.weir?.("x");
    await Promise.resolve();
    const ids = sent().map((each) => each.event_id);
    expect(new Set(ids).size).toBe(51);
    for (const id of ids) expect(id).toMatch(UUID);
  });
});

describe("a visitor who asks not to be named", () => {
  it.each([
    ["globalPrivacyControl", true],
    ["doNotTrack", "1"],
  ])("is not (%s)", async (signal, value) => {
    set(navigator, signal, value);
    set(document, "referrer", "https://search.example/");
    await load();
    window.weir?.("conversion", { user_id: "u-42", referrer: "https://a.example/", plan: "team" });
    await Promise.resolve();
    expect(sent()).toHaveLength(2);
    for (const event of sent()) {
      expect(event).not.toHaveProperty("user_id");
      expect(event.metadata).not.toHaveProperty("referrer");
    }
    expect(sent()[1]?.metadata).toEqual({ plan: "team" });
  });
});

describe("sending", () => {
  it("falls back to fetch, as text and without cookies, and leaves it at that", async () => {
    beacon.mockReturnValue(false);
    vi.useFakeTimers();
    await load();
    await vi.runAllTimersAsync();
    expect(fetched).toHaveBeenCalledTimes(1);
    const [url, init] = fetched.mock.calls[0] as [string, RequestInit];
    expect(url).toBe(URL_OF_EVENTS);
    expect(init).toEqual({
      method: "POST",
      body: beacon.mock.calls[0]?.[1],
      keepalive: true,
      credentials: "omit",
    });
  });

  it.each([
    ["rejected", () => Promise.reject(new TypeError("network"))],
    ["503", () => Promise.resolve({ status: 503 })],
    ["429", () => Promise.resolve({ status: 429 })],
  ])("tries what was %s three times more with the same ids, then gives up", async (_, answer) => {
    beacon.mockReturnValue(false);
    fetched.mockImplementation(answer);
    vi.useFakeTimers();
    await load();
    await vi.runAllTimersAsync();
    expect(fetched).toHaveBeenCalledTimes(4);
    expect(new Set(fetched.mock.calls.map(([, init]) => init.body)).size).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends with the first attempt that is taken, by whichever way", async () => {
    beacon.mockReturnValueOnce(false).mockReturnValueOnce(true);
    fetched.mockRejectedValue(new TypeError("network"));
    vi.useFakeTimers();
    await load();
    await vi.runAllTimersAsync();
    expect(fetched).toHaveBeenCalledTimes(1);
    expect(beacon).toHaveBeenCalledTimes(2);
    expect(beacon.mock.calls[1]).toEqual(beacon.mock.calls[0]);
  });

  it("does not repeat what is refused", async () => {
    beacon.mockReturnValue(false);
    fetched.mockResolvedValue({ status: 403 });
    vi.useFakeTimers();
    await load();
    await vi.runAllTimersAsync();
    expect(fetched).toHaveBeenCalledTimes(1);
  });

  it("fetches at once with data-fetch", async () => {
    await load(tag({ "data-fetch": "" }));
    expect(beacon).not.toHaveBeenCalled();
    expect(fetched).toHaveBeenCalledTimes(1);
  });

  it("writes no cookie and stores nothing", async () => {
    await load();
    window.weir?.("conversion", { user_id: "u-42" });
    await Promise.resolve();
    expect(document.cookie).toBe("");
    expect([localStorage.length, sessionStorage.length]).toEqual([0, 0]);
  });
});

describe("the page", () => {
  it("has the script once though its tag stands twice", async () => {
    await load();
    const first = window.weir;
    await load(tag({ "data-site": "site_another" }));
    expect(window.weir).toBe(first);
    history.pushState(null, "", "/a");
    await Promise.resolve();
    expect(paths()).toEqual(["/start", "/a"]);
  });

  it.each([
    ["no tag", null],
    ["no site", tag({ "data-site": "" })],
    ["no address", Object.assign(document.createElement("script"), { id: "inline" })],
  ])("is left alone with %s", async (_, script) => {
    await load(script);
    expect(beacon).not.toHaveBeenCalled();
    expect(window).not.toHaveProperty("weir");
  });

  const raise = () => {
    throw new Error("broken");
  };

  it.each([
    [
      "sendBeacon throws and there is no fetch",
      () => {
        beacon.mockImplementation(raise);
        set(window, "fetch", undefined);
      },
    ],
    [
      "there is neither",
      () => {
        set(navigator, "sendBeacon", undefined);
        set(window, "fetch", undefined);
      },
    ],
    ["there is no crypto", () => set(window, "crypto", undefined)],
    ["the referrer is no address", () => set(document, "referrer", "::")],
  ])("never sees an error when %s", async (_, broken) => {
    const errors = vi.fn();
    addEventListener("error", errors);
    process.on("unhandledRejection", errors);
    try {
      broken();
      await load();
      window.weir?.("x", { user_id: "u" });
      await new Promise((resolve) => setTimeout(resolve));
      expect(errors).not.toHaveBeenCalled();
    } finally {
      process.off("unhandledRejection", errors);
    }
  });

  it("never sees an error of what it passes in, and the other events are sent", async () => {
    await load();
    const circular: Record<string, unknown> = {};
    circular.itself = circular;
    const call = window.weir as unknown as (...given: unknown[]) => void;
    expect(() => {
      call("x", circular);
      call("x", {
        toJSON: raise,
        get plan(): string {
          return raise();
        },
      });
      call("x", { big: 1n });
      call();
      call("good", null);
      call("good", "text");
    }).not.toThrow();
    await Promise.resolve();
    expect(sent().filter((each) => each.event_type === "good")).toHaveLength(2);
  });

  it("never sees an error of what it did to the browser's own", async () => {
    await load();
    Object.defineProperty(document, "prerendering", { get: raise, configurable: true });
    undo.push(() => Reflect.deleteProperty(document, "prerendering"));
    const errors = vi.fn((event: Event) => event.preventDefault());
    addEventListener("error", errors);
    expect(() => history.pushState(null, "", "/a")).not.toThrow();
    dispatchEvent(new PopStateEvent("popstate"));
    expect(errors).not.toHaveBeenCalled();
  });

  it("is counted though its history cannot be watched", async () => {
    Object.defineProperty(history, "pushState", { value: () => {}, configurable: true });
    await load();
    history.replaceState(null, "", "/a");
    await Promise.resolve();
    expect(paths()).toEqual(["/start", "/a"]);
  });

  it("gets what its own calls of history throw and return", async () => {
    set(history, "pushState", vi.fn(raise));
    await load();
    expect(() => history.pushState(null, "", "/a")).toThrow("broken");
    expect(history.replaceState({ kept: 1 }, "", "/b")).toBeUndefined();
    expect(history.state).toEqual({ kept: 1 });
    expect(location.pathname).toBe("/b");
  });
});
