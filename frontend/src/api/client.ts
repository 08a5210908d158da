/** The one way to the API: the client generated from its OpenAPI document, with credentials. */

import createClient, { type Middleware } from "openapi-fetch";
import { Problem, problemOf } from "./problem";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

interface Credentials {
  /** The token to send, or null where none is needed. */
  token(): string | null;
  /** The token was not taken: whoever asks has to sign in again. */
  refused(): void;
}

let credentials: Credentials = { token: () => null, refused: () => {} };

/** Says once, at the start, who asks. */
export function askAs(asking: Credentials): void {
  credentials = asking;
}

const authorization: Middleware = {
  onRequest({ request }) {
    const token = credentials.token();
    if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
  onResponse({ response }) {
    if (response.status === 401) credentials.refused();
    return response;
  },
};

export const client = createClient<paths>({
  baseUrl: window.location.origin,
  // Looked up at each call, so that tests can put another one in its place.
  fetch: (request) => globalThis.fetch(request),
});
client.use(authorization);

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** What is answered as JSON; the same may be had as CSV, which is text. */
type Json<Data> = Exclude<Data, string>;

/** What was asked for. Throws Problem, with status 0 when there was no answer. */
export async function answerOf<Data>(asked: Promise<Answer<Data>>): Promise<Json<Data>> {
  return (await statusAndAnswerOf(asked)).data;
}

/** The same with the answer's status, for those that mean different things by it. */
export async function statusAndAnswerOf<Data>(
  asked: Promise<Answer<Data>>,
): Promise<{ status: number; data: Json<Data> }> {
  const { data, error, response } = await reached(asked);
  if (data !== undefined && response.ok) {
    return { status: response.status, data: data as Json<Data> };
  }
  throw problemFrom(response, error);
}

async function reached<Data>(asked: Promise<Answer<Data>>): Promise<Answer<Data>> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The API cannot be reached");
  }
}

function problemFrom(response: Response, error: unknown): Problem {
  const members = (typeof error === "object" && error !== null ? error : {}) as Record<
    string,
    unknown
  >;
  const retryAfter = Number(response.headers.get("retry-after"));
  const detail = typeof members.detail === "string" ? members.detail : `HTTP ${response.status}`;
  return new Problem(response.status, detail, members, retryAfter > 0 ? retryAfter : null);
}

/** An answer as it comes: streams, and files to save. Throws Problem. */
export async function open(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  const token = credentials.token();
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await globalThis.fetch(new URL(path, window.location.origin), {
      ...options,
      headers,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The API cannot be reached");
  }
  if (response.status === 401) credentials.refused();
  if (!response.ok) throw await problemOf(response);
  return response;
}
