"""For people who open an address that is none: the pages, which say so, in the place of JSON."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.pages.files import PageFile

_HTML: Final = b"text/html"


class PageMissing:
    """Answers a 404 of the application with the pages, for a browser that asks for one."""

    def __init__(self, app: ASGIApp, *, index: PageFile, headers: Mapping[str, str]) -> None:
        self._app = app
        self._index = index
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not _wants_a_page(scope):
            await self._app(scope, receive, send)
            return
        missing = False

        async def watched(message: Message) -> None:
            nonlocal missing
            if message["type"] == "http.response.start":
                missing = message["status"] == HTTPStatus.NOT_FOUND
            if not missing:
                await send(message)

        await self._app(scope, receive, watched)
        if missing:
            answer = self._index.answer(None, "")
            answer.status_code = HTTPStatus.NOT_FOUND
            answer.headers.update(self._headers)
            await answer(scope, receive, send)


def _wants_a_page(scope: Scope) -> bool:
    # As browsers ask for what one opens; programs ask for JSON, or for anything.
    return any(
        name == b"accept" and value.lower().startswith(_HTML) for name, value in scope["headers"]
    )
