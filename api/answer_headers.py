"""Headers of every answer, whoever makes it: what was found out on the way, and what guards it.

What guards it says what browsers may do with it, and keep.
"""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

GUARDING: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    # An answer that is opened as a page loads nothing, and stands in no other page.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    # No page of another site can have it read into its process.
    (b"cross-origin-resource-policy", b"same-origin"),
)
KEPT_NOWHERE: Final[Header] = (b"cache-control", b"private, no-store")
"""What says nothing of how long it holds is about somebody, or of this moment."""

HTTPS_FOR_A_YEAR: Final[Header] = (b"strict-transport-security", b"max-age=31536000")

_SAYS_HOW_LONG: Final = frozenset({b"cache-control", b"etag"})
_KEPT: Final = "weir.answer_headers"


def keep_for_answer(scope: Scope, headers: Mapping[str, str]) -> None:
    """Keeps headers for the answer to this request."""
    if headers:
        scope["state"][_KEPT] = headers


class AnswerHeaders:
    """Adds the headers that were kept for an answer, and the guards that it does not have itself.

    `Strict-Transport-Security` goes to who came by TLS, as the proxy before this says
    (`X-Forwarded-Proto`, from a proxy that is trusted): over HTTP browsers pass it over.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        def with_headers(message: Message) -> Awaitable[None]:
            # Not a coroutine of its own, which would be awaited for each piece of a stream.
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if kept := scope["state"].get(_KEPT):
                    added = ((name.lower().encode(), kept[name].encode()) for name in kept)
                    headers = [*headers, *added]
                message["headers"] = with_guards(headers, scope["scheme"])
            return send(message)

        await self._app(scope, receive, with_headers)


def with_guards(headers: Iterable[Header], scheme: str) -> list[Header]:
    """The headers of an answer, and those that they lack."""
    sent = list(headers)
    said = {name for name, _ in sent}
    sent += [header for header in GUARDING if header[0] not in said]
    if said.isdisjoint(_SAYS_HOW_LONG):
        sent.append(KEPT_NOWHERE)
    if scheme == "https":
        sent.append(HTTPS_FOR_A_YEAR)
    return sent
