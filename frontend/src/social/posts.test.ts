import { expect, test, vi } from "vitest";
import { answering, problem } from "../../tests/answers";
import { postDocument } from "../../tests/documents";
import { randomId } from "./asking";
import { characters } from "./platforms";
import { merged, type Post, pictureUrl } from "./posts";
import { afterEvent, followKnown } from "./watching";

const POST: Post = postDocument({ id: "1", platform: "x" });

test("events that come again after a break change nothing twice", () => {
  const events = [
    { name: "state", data: { id: "1", state: "generating" } },
    { name: "picture", data: { variant: 2, url: "/media/b.png" } },
    { name: "caption", data: { variant: 1, text: "One" } },
    { name: "caption", data: { variant: 2, text: "Two" } },
  ];
  const once = events.reduce(afterEvent, POST);
  expect(once.state).toBe("generating");
  expect(once.variants.map((each) => [each.number, each.caption, each.image_url])).toEqual([
    [1, "One", null],
    [2, "Two", "/media/b.png"],
  ]);
  // The place of the picture is as large as it will be.
  expect(once.variants[1]).toMatchObject({ width: 1536, height: 1024 });
  expect(events.reduce(afterEvent, once)).toEqual(once);
});

test("a post that ended stays as it ended", () => {
  const ended = { ...POST, state: "failed" as const };
  expect(afterEvent(ended, { name: "state", data: { id: "1", state: "queued" } })).toBe(ended);
});

test("what cannot be understood changes nothing", () => {
  for (const data of [null, "text", {}, { variant: "1", text: 5 }]) {
    expect(afterEvent(POST, { name: "caption", data })).toBe(POST);
  }
});

test("the list has a new post before it is stored, once", () => {
  const older = { ...POST, id: "0", requested_at: "2026-11-23T09:30:00.000Z" };
  expect(merged([older], POST).map((each) => each.id)).toEqual(["1", "0"]);
  const generating = { ...POST, state: "generating" as const };
  expect(merged([POST, older], generating)).toEqual([generating, older]);
  const done = { ...POST, state: "done" as const };
  expect(merged([done, older], generating)).toEqual([done, older]);
  // An old one of a page that is not shown yet.
  expect(merged([POST], older)).toEqual([POST]);
});

test("characters are counted as people see them in a limit", () => {
  expect(characters("naïve 😀")).toBe(7);
});

test("pictures come from the pages' own server", () => {
  const key = `${"0f".repeat(32)}.webp`;
  expect(pictureUrl(`http://10.0.0.1:8000/weir/media/${key}`)).toBe(`/media/${key}`);
  expect(pictureUrl("https://elsewhere.example/x.png")).toBe("https://elsewhere.example/x.png");
});

test("ids are UUIDs where the browser makes none", () => {
  const original = crypto.randomUUID;
  // Pages that did not come by HTTPS have no randomUUID.
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    const ids = new Set(Array.from({ length: 100 }, randomId));
    expect(ids.size).toBe(100);
    for (const id of ids) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  } finally {
    Object.defineProperty(crypto, "randomUUID", { value: original, configurable: true });
  }
});

test("who leaves while a post is not known yet is not followed any longer", async () => {
  const { asked } = answering({ "GET /social/posts/1/events": problem(404, {}) });
  const stop = new AbortController();
  const followed = followKnown(
    "1",
    () => {},
    () => {},
    stop.signal,
  );
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  const before = performance.now();
  stop.abort();
  await followed;
  expect(performance.now() - before).toBeLessThan(500);
  expect(asked).toHaveLength(1);
});
