/** What one copies to send the first events; `origin` is where this Weir is. */

export function curlSnippet(origin: string): string {
  return `curl -X POST ${origin}/analytics/events \\
  -H 'Content-Type: application/json' \\
  -d '{"event_type": "page_view", "path": "/hello", "visitor_id": "v-1"}'`;
}

export function middlewareSnippet(origin: string): string {
  return `from weir_sdk import AnalyticsMiddleware

app.add_middleware(AnalyticsMiddleware, url="${origin}")`;
}

export function trackerSnippet(origin: string, site: string): string {
  return `<script defer src="${origin}/weir.js" data-site="${site}"></script>`;
}
