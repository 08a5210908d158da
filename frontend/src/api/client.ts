/** The one way to the API: the client generated from its OpenAPI document, with credentials. */

import createClient from "openapi-fetch";
import { Problem, problemOf } from "./problem";
import type { components, paths } from "./schema";
import { heedClock } from "./server_clock";

export type Schemas = components["schemas"];

interface Credentials {
  /** The token to send, or null where none is needed. */
  token(): string | null;
  /** This token was not taken: the one to ask with once more, or null where there is none. */
  refused(token: string): Promise<string | null>;
}

let credentials: Credentials = { token: () => null, refused: async () => null };

/** Says once, at the start, who asks. */
export function askAs(asking: Credentials): void {
  credentials = asking;
}

export const client = createClient<paths>({ baseUrl: window.location.origin, fetch: sent });

/** Sends it with the credentials there are; once more where newer ones have come meanwhile. */
async function sent(request: Request): Promise<Response> {
  const token = credentials.token();
  if (token === null) return await answered(request);
  // What it carries can be sent once.
  const again = request.clone();
  const response = await answered(request, token);
  if (response.status !== 401) return response;
  const newer = await credentials.refused(token);
  if (newer === null) return response;
  const last = await answered(again, newer);
  // Told of, and not tried a third time.
  if (last.status === 401) await credentials.refused(newer);
  return last;
}

async function answered(request: Request, token: string | null = null): Promise<Response> {
  if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
  // Looked up at each call, so that tests can put another one in its place.
  const response = await globalThis.fetch(request);
  heedClock(response);
  return response;
}

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** What is answered as JSON; the same may be had as CSV, which is text. */
type Json<Data> = Exclude<Data, string>;

/** What was asked for. Throws Problem, with status 0 when there was no answer. */
export async function answerOf<Data>(asked: Promise<Answer<Data>>): Promise<Json<Data>> {
  const { data, error, response } = await reached(asked);
  if (data !== undefined && response.ok) return data as Json<Data>;
  throw problemOf(response, error);
}

/** An answer as it comes: streams, and files to save. Throws Problem. */
export async function open(path: string, options: RequestInit = {}): Promise<Response> {
  const request = new Request(new URL(path, window.location.origin), options);
  const response = await reached(sent(request));
  if (!response.ok) throw problemOf(response, await response.json().catch(() => null));
  return response;
}

async function reached<Answered>(asked: Promise<Answered>): Promise<Answered> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The API cannot be reached");
  }
}
