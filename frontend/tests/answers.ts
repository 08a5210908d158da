/** Answers in the place of the API, shaped as it shapes them. */

import { vi } from "vitest";

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Headers;
  body: unknown;
}

export type Answer = (asked: Asked) => Response | Promise<Response>;

export function json(document: unknown, status = 200, headers: Record<string, string> = {}) {
  return () => Response.json(document, { status, headers });
}

export function problem(status: number, members: Record<string, unknown>) {
  return () =>
    Response.json(
      { type: "about:blank", title: "A problem", status, detail: "A detail", ...members },
      { status, headers: { "Content-Type": "application/problem+json" } },
    );
}

export const unreachable: Answer = () => {
  throw new TypeError("Failed to fetch");
};

/** A stream of server-sent events whose end the test decides. */
export function eventStream() {
  let stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  const bytes = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      stream = controller;
    },
  });
  return {
    answer: () => new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
    send: (name: string, data: unknown) =>
      stream?.enqueue(bytes.encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)),
  };
}

/** Answers by method and path ("GET /api/plans"); returns what is asked, as it is asked. */
export function answering(routes: Record<string, Answer>): {
  asked: Asked[];
  routes: Record<string, Answer>;
} {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init);
    const { pathname, searchParams } = new URL(request.url);
    const text = await request.text();
    const question: Asked = {
      method: request.method,
      path: pathname,
      query: searchParams,
      headers: request.headers,
      body: text === "" ? null : isForm(request) ? text : JSON.parse(text),
    };
    asked.push(question);
    const answer = routes[`${request.method} ${pathname}`];
    return answer ? await answer(question) : problem(404, {})();
  });
  return { asked, routes };
}

function isForm(request: Request): boolean {
  const type = request.headers.get("Content-Type") ?? "";
  return type.startsWith("application/x-www-form-urlencoded");
}
