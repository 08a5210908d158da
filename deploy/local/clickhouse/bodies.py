"""Request bodies: taken in whole before the engine sees them, in bounded memory and time.

An insert must not begin before its last byte is here, or a client that leaves half-way would
leave half of its rows. What is larger than a few megabytes waits in a file without a name.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from starlette.types import Message, Receive

from deploy.local.clickhouse.errors import refusal

_IN_MEMORY: Final = 8 * 1024 * 1024
_PIECE: Final = 1024 * 1024
# A client that sends a byte now and then may not hold its place for ever.
_TOTAL_OVER_STALL: Final = 20


class ClientLeftError(Exception):
    """The client closed the connection before its request was complete."""


class Body:
    """The bytes of one body as they were sent, to be read once and closed."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces of up to 1 MiB."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()


async def read_body(receive: Receive, *, folder: Path, stall: float, limit: int) -> Body:
    """Read a whole body of at most `limit` bytes.

    Raises ClientLeftError when the client goes; a ClickHouseError with code 209 when nothing
    comes for `stall` seconds, and with code 229 when it is too large.
    """
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder))  # noqa: SIM115
    size = 0
    try:
        async with asyncio.timeout(stall * _TOTAL_OVER_STALL):
            more = True
            while more:
                async with asyncio.timeout(stall):
                    piece, more = _piece(await receive())
                size += len(piece)
                _check_size(size, limit)
                file.write(piece)
    except TimeoutError:
        file.close()
        raise refusal(
            209,
            "SOCKET_TIMEOUT",
            f"The request's body stopped after {size} bytes for {stall:g} s: send it again.",
        ) from None
    except BaseException:
        file.close()
        raise
    return Body(file, size)


def _piece(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientLeftError
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise refusal(
            229,
            "QUERY_IS_TOO_LARGE",
            f"The request's body is larger than {limit} bytes: send it in parts, or raise "
            "WEIR_CLICKHOUSE_MAX_BODY.",
        )
