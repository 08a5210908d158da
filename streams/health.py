"""A worker's `/healthz`, `/readyz` and `/metrics`: whether it runs, and its streams do, and how."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import hdrs, web

from schemas.metrics.declaration import Process
from schemas.metrics.exposition import Exposition, Look, Problems, nothing_to_ask

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
STOP_SECONDS: Final = 1.0


class NotListening(Exception):
    """The port cannot be listened on; the message says why and what to do."""


@asynccontextmanager
async def health_server(
    host: str,
    port: int,
    problems: Problems,
    *,
    process: Process,
    parts: Collection[str],
    look: Look = nothing_to_ask,
    metrics: bool = True,
) -> AsyncIterator[None]:
    """Answers as long as the block runs; port 0: nobody is answered. Raises NotListening.

    `parts`: all that `problems` may name. `look`: brings metrics up to date before they are shown,
    which without `metrics` are not.
    """
    if not port:
        yield
        return
    app = web.Application()
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz_of(problems))
    if metrics:
        app.router.add_get("/metrics", _metrics_of(Exposition(process, parts, problems, look)))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise NotListening(
                f"{host}:{port} cannot be listened on ({error.strerror}); "
                f"set WEIR_{process.upper()}_PORT to another port, or to 0 for none"
            ) from None
        yield
    finally:
        await runner.cleanup()


async def _healthz(_: web.Request) -> web.Response:
    return _ok()


def _readyz_of(problems: Problems) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def readyz(_: web.Request) -> web.Response:
        not_ready = await problems()
        if not not_ready:
            return _ok()
        status = HTTPStatus.SERVICE_UNAVAILABLE
        document = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": "; ".join(f"{part}: {problem}" for part, problem in not_ready.items()),
            "not_ready": not_ready,
        }
        return web.Response(
            body=orjson.dumps(document), status=status, content_type=PROBLEM_MEDIA_TYPE
        )

    return readyz


def _metrics_of(exposition: Exposition) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        body, content_type = await exposition.answer(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return answer


def _ok() -> web.Response:
    return web.Response(body=orjson.dumps({"status": "ok"}), content_type="application/json")
