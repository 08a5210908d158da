"""Serves the edge over HTTP: how it ends, and what it says to what is not HTTP."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import create_app
from api.measuring.serving import must_be_free
from api.problems import MEDIA_TYPE, Problem, problem_response
from api.server_errors import LoggedErrors
from api.settings import ApiSettings
from api.tracing import traced

MAX_HEAD_BYTES: Final = 65_536
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients and balancers keep idle connections (60 s and less): whoever closes first
can cut off a request that is just being sent, and only a client can send it again."""
NOT_STARTED: Final = 3
"""The exit code when it could not start, as of uvicorn.run."""
FINISH_SECONDS: Final = 3
"""So long may requests that are under way take when the process is asked to end."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP with a bound on a request's head, and problem documents of its own."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The scope is new with the first byte of a request, and whole with its last header.
        scope = cast("Mapping[str, object] | None", self.scope)
        if scope is None or "method" in scope:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's headers are larger than {MAX_HEAD_BYTES} bytes; send fewer",
            )

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(HTTPStatus.BAD_REQUEST, "this cannot be read as an HTTP/1.1 request")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = bytes(problem_response(Problem(status, detail)).body)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class EndingServer(uvicorn.Server):
    """uvicorn's server, which tells streams without an end of their own that it ends."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


def serve(settings: ApiSettings) -> None:
    """Answers until SIGTERM or SIGINT; finishes the requests under way, then returns.

    Raises MetricsNotServed, and what create_app does.
    """
    must_be_free(settings.metrics_host, settings.metrics_port)
    # uvicorn sends itself the signal again at its end, to end by it: that is no failure here.
    signal.signal(signal.SIGTERM, lambda *_: None)
    ending = asyncio.Event()
    config = uvicorn.Config(
        LoggedErrors(traced(create_app(settings, ending=ending))),
        host=settings.host,
        port=settings.port,
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = EndingServer(config, ending)
    # As uvicorn.run does: an interrupt has been handled by then.
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)
