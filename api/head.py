"""Answers HEAD wherever GET is answered, as HTTP asks; the server leaves out the body."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGet:
    """Hands HEAD requests on as GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
