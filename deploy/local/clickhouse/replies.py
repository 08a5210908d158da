"""Sends responses in the way of ClickHouse: its headers, its errors, also in mid-answer."""

import json
import secrets

from starlette.types import Send

from deploy.local.clickhouse.engine import Progress
from deploy.local.clickhouse.errors import ClickHouseError
from deploy.local.clickhouse.formats import content_type


class Reply:
    """Sends one response in the way of ClickHouse."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._tag = ""
        self.headers = headers
        self.begun = False

    def describe(self, progress: Progress, format_: str | None, encoding: str | None) -> None:
        """Write what is known of the answer into the headers."""
        self.headers["X-ClickHouse-Summary"] = _summary(progress)
        self.headers["Content-Type"] = content_type(format_ or "")
        if format_:
            self.headers["X-ClickHouse-Format"] = format_
        if encoding:
            self.headers["Content-Encoding"] = encoding

    async def whole(self, status: int, body: bytes, type_: str | None = None) -> None:
        """A response whose length is known."""
        if type_:
            self.headers["Content-Type"] = type_
        self.headers["Content-Length"] = str(len(body))
        await self._start(status)
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, body: bytes) -> None:
        """The start of a response whose end is not known: an error can still come."""
        self._tag = secrets.token_hex(8)
        self.headers["X-ClickHouse-Exception-Tag"] = self._tag
        await self._start(200)
        await self.more(body)

    async def more(self, body: bytes) -> None:
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def error(self, error: ClickHouseError, version: str) -> None:
        """An error instead of a result."""
        self.headers.pop("Content-Encoding", None)
        self.headers["X-ClickHouse-Exception-Code"] = str(error.code)
        self.headers.setdefault("X-ClickHouse-Summary", _summary(Progress()))
        body = _with_version(error, version).encode("utf-8", "replace") + b"\n"
        await self.whole(error.status, body, "text/plain; charset=UTF-8")

    def exception_block(self, error: ClickHouseError, version: str) -> bytes:
        """How an error is told after a part of the result: clients look for the tag."""
        message = _with_version(error, version).encode("utf-8", "replace") + b"\n"
        tag = self._tag.encode()
        start = b"\r\n__exception__\r\n" + tag + b"\r\n" + message
        return start + b"%d " % len(message) + tag + b"\r\n__exception__\r\n"

    async def _start(self, status: int) -> None:
        self.begun = True
        headers = [
            (k.lower().encode(), v.encode("latin-1", "replace")) for k, v in self.headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _summary(progress: Progress) -> str:
    names = ("read_rows", "read_bytes", "written_rows", "written_bytes")
    values = {name: str(getattr(progress, name)) for name in names}
    values["total_rows_to_read"] = str(progress.read_rows)
    for name in ("result_rows", "result_bytes", "elapsed_ns"):
        values[name] = str(getattr(progress, name))
    return json.dumps(values, separators=(",", ":"))


def _with_version(error: ClickHouseError, version: str) -> str:
    return error.message if "(version " in error.message else f"{error.message} (version {version})"
