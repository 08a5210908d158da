/** How questions are asked: kept a moment, asked again where that may help. */

import { QueryClient } from "@tanstack/react-query";
import { Problem } from "../api/problem";

const ATTEMPTS = 2;

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        // An API that is away is asked again by the pages, whatever the browser thinks of the net.
        networkMode: "always",
        retry: (failures, error) =>
          failures < ATTEMPTS && error instanceof Problem && error.mayPass,
        retryDelay: (failures, error) =>
          error instanceof Problem && error.retryAfter !== null
            ? Math.min(error.retryAfter, 5) * 1000
            : 300 * 2 ** failures,
      },
      mutations: { networkMode: "always" },
    },
  });
}
