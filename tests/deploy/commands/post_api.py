"""The API's routes of social posts as `weir generate` needs them, with answers that a test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.weir import Json

POST_ID: Final = "019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"
PNG: Final = b"\x89PNG\r\n\x1a\n"
DETAIL: Final = {"type": "about:blank", "title": "no"}


class PostApi:
    """One post. `states` are shown one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.states: list[Json] = []
        self.refusal: tuple[int, Json] | None = None
        self.asked: list[tuple[Json, dict[str, str]]] = []
        self.polls = 0
        self.polled = asyncio.Event()
        self.media_headers: list[dict[str, str]] = []
        self.other_origin: str | None = None

    def post(self, state: str, **members: object) -> Json:
        """The document of the post."""
        return {
            "id": POST_ID,
            "state": state,
            "caption": None,
            "image_url": None,
            "variants": [],
            "stub": False,
            "credits_charged": 1,
            "credits_refunded": 0,
            "reason": None,
            "detail": None,
            **members,
        }

    def done(self, *captions: str, **members: object) -> Json:
        """A post that is done, with so many variants."""
        variants = [
            {
                "number": number,
                "caption": caption,
                "image_url": f"{self.other_origin or self.url}/media/{number:064}.png",
                "width": 1024,
                "height": 1024,
            }
            for number, caption in enumerate(captions, start=1)
        ]
        first = {name: variants[0][name] for name in ("caption", "image_url")}
        members = {"credits_charged": len(captions), **members}
        return self.post("done", variants=variants, **first, **members)

    async def ask(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json(), dict(request.headers)))
        if self.refusal is not None:
            status, document = self.refusal
            return web.json_response(document, status=status)
        location = {"Location": f"/social/posts/{POST_ID}"}
        return web.json_response(self.post("queued"), status=202, headers=location)

    async def show(self, _: web.Request) -> web.Response:
        state = self.states[min(self.polls, len(self.states) - 1)]
        self.polls += 1
        self.polled.set()
        if isinstance(state, int):
            return web.json_response({**DETAIL, "detail": f"status {state}"}, status=state)
        return web.json_response(state)

    async def media(self, request: web.Request) -> web.Response:
        self.media_headers.append(dict(request.headers))
        name = request.match_info["name"]
        return web.Response(body=PNG + name.encode(), content_type="image/png")

    async def plan(self, _: web.Request) -> web.Response:
        return web.json_response({"resets_at": "2026-12-01T00:00:00.000Z"})


@asynccontextmanager
async def running_api() -> AsyncIterator[PostApi]:
    """The API on a free port, and under a second origin."""
    api = PostApi()
    application = web.Application()
    application.add_routes(
        [
            web.post("/social/post", api.ask),
            web.get(f"/social/posts/{POST_ID}", api.show),
            web.get("/media/{name}", api.media),
            web.get("/api/user/plan", api.plan),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()
