"""Where the bytes of a log come from: a file or standard input, plain or gzip by content."""

import io
import os
import stat
import sys
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

STDIN = "-"
READ_BYTES = 64 * 1024
# A small gzip file can hold gigabytes; it is unpacked in pieces of this size.
UNPACKED_BYTES = 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class BrokenGzip(Exception):
    """The gzip data is damaged or ends too early; `position` is in bytes of the packed file."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


class LogSource:
    """An open log. `chunks()` may be read once; `bytes_read` counts bytes of the file as it lies
    on disk (packed, if it is packed); `size` is in the same bytes, None where nobody knows it.
    """

    def __init__(self, stream: io.RawIOBase, *, name: str, size: int | None) -> None:
        self.name = name
        self.size = size
        self.bytes_read = 0
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def chunks(self) -> Iterator[bytes]:
        """The unpacked bytes, in pieces of at most UNPACKED_BYTES.

        Raises BrokenGzip after everything that could be unpacked, and OSError.
        """
        first = self._read()
        # A pipe may hand over a single byte first; gzip shows itself in two.
        while 0 < len(first) < len(_GZIP_MAGIC):
            more = self._read()
            if not more:
                break
            first += more
        if first.startswith(_GZIP_MAGIC):
            yield from self._unpacked(first)
            return
        while first:
            yield first
            first = self._read()

    def _read(self) -> bytes:
        data = self._stream.read(READ_BYTES) or b""
        self.bytes_read += len(data)
        return data

    def _unpacked(self, packed: bytes) -> Iterator[bytes]:
        while packed:
            packed = yield from self._member(packed)
            # tar, dd and tapes pad with zeros after the last member; gzip ignores them too.
            packed = packed.lstrip(b"\0")
            while not packed:
                packed = self._read()
                if not packed:
                    return
                packed = packed.lstrip(b"\0")

    def _member(self, packed: bytes) -> Generator[bytes, None, bytes]:
        """Unpack one gzip member and return the bytes that follow it."""
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        while True:
            try:
                data = unpacker.decompress(packed, UNPACKED_BYTES)
            except zlib.error as error:
                raise BrokenGzip(str(error), self.bytes_read) from error
            if data:
                yield data
            if unpacker.eof:
                return unpacker.unused_data
            # A full piece may leave output behind inside the unpacker, with no input left over.
            packed = unpacker.unconsumed_tail
            if not packed and len(data) < UNPACKED_BYTES:
                packed = self._read()
                if not packed:
                    raise BrokenGzip("the data ends too early", self.bytes_read)


def open_log(file: str) -> LogSource:
    """Open a path, or standard input for `-`. Raises OSError."""
    if file == STDIN:
        # Unbuffered: a thread that waits inside a buffered standard input holds its lock, and
        # the interpreter could not end.
        return LogSource(
            io.FileIO(sys.stdin.fileno(), "rb", closefd=False), name="standard input", size=None
        )
    path = Path(file)
    stream = path.open("rb", buffering=0)
    status = os.fstat(stream.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return LogSource(stream, name=file, size=size)
