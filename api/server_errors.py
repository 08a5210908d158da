"""Answers of 500 and more in the log: a line each, and no flood of them while a server is away."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger()

FIRST_OF_THEM: Final = 500
LINES_PER_SECOND: Final = 10

_LOGGED: Final = "weir.error_logged"


class ServerErrorLog:
    """So many lines a second; the next one says how many answers were left out before it."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def note(self, status: int, detail: str) -> None:
        """`detail` is a sentence of ours, never what was sent."""
        second = int(self._timer())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines == LINES_PER_SECOND:
            self._left_out += 1
            return
        self._lines += 1
        left_out = {"left_out": self._left_out} if self._left_out else {}
        log.warning("answered with an error", status=status, detail=detail, **left_out)
        self._left_out = 0


def is_logged(scope: Scope) -> None:
    """Says that the error of this request is answered, and in the log."""
    scope[_LOGGED] = True


class LoggedErrors:
    """Ends errors that are answered and logged: the server would log each a second time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            if _LOGGED not in scope:
                raise
