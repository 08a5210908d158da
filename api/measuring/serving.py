"""`/metrics` of the API on a port of its own, which the world does not reach."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import hdrs, web

from schemas.metrics.exposition import Exposition

STOP_SECONDS: Final = 1.0


class MetricsNotServed(Exception):
    """The port cannot be listened on; the message says why and what to do."""


def must_be_free(host: str, port: int) -> None:
    """Raises MetricsNotServed when nobody could listen there now. Port 0: nobody wants to."""
    if not port:
        return
    try:
        # As asyncio opens it: connections that closed a moment ago do not hinder.
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        raise _not_served(host, port, error) from None


@asynccontextmanager
async def metrics_server(host: str, port: int, exposition: Exposition) -> AsyncIterator[None]:
    """Answers as long as the block runs; port 0: nobody is answered. Raises MetricsNotServed."""
    if not port:
        yield
        return

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition.answer(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise _not_served(host, port, error) from None
        yield
    finally:
        await runner.cleanup()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _not_served(host: str, port: int, error: OSError) -> MetricsNotServed:
    # asyncio puts words of its own before those of the system.
    why = errno.errorcode.get(error.errno or 0) and error.strerror
    return MetricsNotServed(
        f"{host}:{port} cannot be listened on ({why or error}); set WEIR_API_METRICS_PORT to "
        "another port, or to 0 for none"
    )
