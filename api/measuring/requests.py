"""Counts and times each request, by the template of its route."""

from collections.abc import Awaitable
from time import monotonic
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answering_route import route_of
from schemas.metrics.edge import REQUEST_DURATION, REQUESTS
from schemas.metrics.instruments import counter, histogram

NO_ROUTE: Final = "none"
_CLIENT_LEFT: Final = 499
_FAILED: Final = 500
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class MeasuredRequests:
    """To be asked first, so that refusals are counted too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # To look a series up costs more than to change it; there are as many as routes.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()
        status, answered = 0, 0.0

        def noted(message: Message) -> Awaitable[None]:
            # Not a coroutine of its own, which would be awaited for each piece of a stream.
            nonlocal answered, status
            if not status and message["type"] == "http.response.start":
                status, answered = message["status"], monotonic()
            return send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            status = status or _CLIENT_LEFT
            raise
        except Exception:
            status = status or _FAILED
            raise
        finally:
            self._count(scope, status or _CLIENT_LEFT, (answered or monotonic()) - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"]
        key = (route_of(scope) or NO_ROUTE, method if method in _METHODS else "", status // 100)
        series = self._series.get(key)
        if series is None:
            route, method, family = key
            series = self._series[key] = (
                counter(REQUESTS, route, method, f"{family}xx"),
                histogram(REQUEST_DURATION, route, method),
            )
        series[0].inc()
        series[1].observe(seconds)
