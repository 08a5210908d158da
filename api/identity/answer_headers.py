"""Adds to an answer the headers that were found out about who asked, whoever answers."""

from collections.abc import Awaitable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEPT: Final = "weir.answer_headers"


def keep_for_answer(scope: Scope, headers: Mapping[str, str]) -> None:
    """Keeps headers for the answer to this request."""
    if headers:
        scope["state"][_KEPT] = headers


class AnswerHeaders:
    """Sends each answer with the headers that were kept for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        def with_headers(message: Message) -> Awaitable[None]:
            # Not a coroutine of its own, which would be awaited for each piece of a stream.
            if message["type"] == "http.response.start":
                kept = scope["state"].get(_KEPT)
                if kept:
                    message["headers"] = [
                        *message.get("headers", ()),
                        *((name.lower().encode(), value.encode()) for name, value in kept.items()),
                    ]
            return send(message)

        await self._app(scope, receive, with_headers)
