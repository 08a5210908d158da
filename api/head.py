"""Answers HEAD wherever GET is answered, as HTTP asks; the server leaves out the body."""

from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.answering_route import name_route, route_of

_ASKED_BY_HEAD: Final = "weir.asked_by_head"


def asked_by_head(request: Request) -> bool:
    """Whether nobody will see the body, for routes whose body is dear."""
    return _ASKED_BY_HEAD in request.scope


class HeadAsGet:
    """Hands HEAD requests on as GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET", _ASKED_BY_HEAD: True}
        try:
            await self._app(asked, receive, send)
        finally:
            if route := route_of(asked):
                name_route(scope, route)
