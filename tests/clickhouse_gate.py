"""A gate before a ClickHouse that knows no users: TLS, and one user with a password.

`python -m tests.clickhouse_gate` listens on GATE_PORT. Each request is let through, its bytes as
they are, if it carries the user's name and password in any of the ways that ClickHouse knows;
`/ping` needs none. When one side leaves, the other is told.
"""

import asyncio
import base64
import binascii
import contextlib
import os
import ssl
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httptools

from deploy.local.ports import LOOPBACK

PIECE: Final = 256 * 1024
STOP_SECONDS: Final = 1.0

_REFUSAL: Final = (
    b"Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no "
    b"user with such name. (AUTHENTICATION_FAILED)\n"
)
_REFUSED: Final = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=UTF-8\r\n"
    b"X-ClickHouse-Exception-Code: 516\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL), _REFUSAL)
)


class _Requests:
    """Looks at the requests of one connection as they come; its methods are httptools' names."""

    def __init__(self, user: str, password: str) -> None:
        self._expected = (user, password)
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self.refused = False

    def look_at(self, piece: bytes) -> None:
        """Raises httptools.HttpParserError when it is no HTTP."""
        self._parser.feed_data(piece)

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._credentials() != self._expected:
            self.refused = True

    def _credentials(self) -> tuple[str, str]:
        parts = urlsplit(self._url.decode("latin-1"))
        if parts.path == "/ping":
            return self._expected
        scheme, _, encoded = self._headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                user, _, password = base64.b64decode(encoded).decode().partition(":")
                return user, password
        if name := self._headers.get(b"x-clickhouse-user"):
            return name.decode("latin-1"), self._headers.get(b"x-clickhouse-key", b"").decode()
        asked = parse_qs(parts.query)
        return asked.get("user", ["default"])[0], asked.get("password", [""])[0]


class Gate:
    """Serves until it is cancelled."""

    def __init__(self, user: str, password: str, behind: int) -> None:
        self._user = user
        self._password = password
        self._behind = behind

    async def serve(self, port: int, certificate: str) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server = await asyncio.start_server(
            self._let_through, LOOPBACK, port, ssl=context, limit=PIECE
        )
        async with server:
            await server.serve_forever()

    async def _let_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            inner, outer = await asyncio.open_connection(LOOPBACK, self._behind, limit=PIECE)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._inwards(reader, outer, writer)),
            asyncio.create_task(_pass_on(inner, writer)),
        ]
        try:
            # Whoever leaves first: then there is nobody to speak to.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (outer, writer):
                await _close(each)

    async def _inwards(
        self,
        reader: asyncio.StreamReader,
        outer: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        requests = _Requests(self._user, self._password)
        with contextlib.suppress(OSError, httptools.HttpParserError):
            while piece := await reader.read(PIECE):
                requests.look_at(piece)
                if requests.refused:
                    writer.write(_REFUSED)
                    await writer.drain()
                    return
                outer.write(piece)
                await outer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await writer.wait_closed()
    writer.transport.abort()


async def _main() -> None:
    given = os.environ
    gate = Gate(given["GATE_USER"], given["GATE_PASSWORD"], int(given["GATE_BEHIND"]))
    await gate.serve(int(given["GATE_PORT"]), given["GATE_CERTIFICATE"])


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
