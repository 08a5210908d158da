"""One span for each request, under the one that the caller names."""

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answering_route import route_of
from schemas.trace_context import TraceParent, parsed
from schemas.tracing import running_spans

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from schemas.spans import Spans

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES: Final = frozenset({"/healthz", "/readyz"})
_SERVER_ERROR: Final = 500


class TracedRequests:
    """The outermost of all: what answers after an error of ours still knows its trace.

    Of a request a span says method, route and status; never the path, whose parts may name
    somebody.
    """

    def __init__(self, app: ASGIApp, spans: "Spans") -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        with self._spans.entry(
            method, "server", caller_of(scope["headers"]), None, trusted=False
        ) as span:
            if not span.is_recording():
                await self._app(scope, receive, send)
                return

            def noted(message: Message) -> Awaitable[None]:
                if message["type"] == "http.response.start":
                    _note(span, method, scope, message["status"])
                return send(message)

            await self._app(scope, receive, noted)


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span for each request, where this process records any."""
    spans = running_spans()
    return app if spans is None else TracedRequests(app, spans)


def caller_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The span that a request's headers name; None: none, or more than one, or no such thing."""
    parents, states = [], []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    return parsed(parents[0], b",".join(states)) if len(parents) == 1 else None


def _note(span: "Span", method: str, scope: Scope, status: int) -> None:
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.response.status_code", status)
    if route := route_of(scope):
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    if status >= _SERVER_ERROR:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR))
