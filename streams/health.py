"""A worker's `/healthz`, `/readyz` and `/metrics`: whether it runs, and its streams do, and how."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

Problems = Callable[[], Awaitable[dict[str, str]]]
"""What keeps the process from its work: the part → a sentence; empty when nothing does."""

Metrics = Callable[[], Mapping[str, float]]
"""Gauges and counters by name (a counter's ends with `_total`)."""

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
STOP_SECONDS: Final = 1.0


class NotListening(Exception):
    """The port cannot be listened on; the message says why and what to do."""


@asynccontextmanager
async def health_server(
    host: str, port: int, problems: Problems, *, setting: str, metrics: Metrics = dict
) -> AsyncIterator[None]:
    """Answers as long as the block runs; port 0: nobody is answered. Raises NotListening.

    `/metrics` is in the text format of Prometheus.

    `setting` is the name, in the environment, of the setting that holds the port.
    """
    if not port:
        yield
        return
    app = web.Application()
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz_of(problems))
    app.router.add_get("/metrics", _metrics_of(metrics))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise NotListening(
                f"{host}:{port} cannot be listened on ({error.strerror}); "
                f"set {setting} to another port, or to 0 for none"
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


def _metrics_of(metrics: Metrics) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        lines = []
        for name, value in metrics().items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {name} {kind}", f"{name} {value:g}"]
        return web.Response(text="".join(f"{line}\n" for line in lines))

    return answer


def _ok() -> web.Response:
    return web.Response(body=orjson.dumps({"status": "ok"}), content_type="application/json")
