"""HTTP content encodings, both ways, in bounded pieces."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from deploy.local.clickhouse.errors import ClickHouseError, refusal

# Decompressed bytes handed on at once: what was sent may grow a thousandfold.
_PIECE: Final = 1024 * 1024
_AUTOMATIC_HEADER: Final = 32 + zlib.MAX_WBITS
_GZIP: Final = 16 + zlib.MAX_WBITS


class Compressor(Protocol):
    """Compresses one response, piece by piece."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    """Decompresses one frame; `needs_input` is False while more can come out without input."""

    needs_input: bool
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """gzip and deflate in the manner of the other decompressors."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=_AUTOMATIC_HEADER)
        self._waiting = b""
        self.needs_input = True
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        result = self._inflate.decompress(self._waiting + data, max_length)
        self._waiting = self._inflate.unconsumed_tail
        self.eof = self._inflate.eof
        self.unused_data = self._inflate.unused_data
        self.needs_input = not self._waiting
        return result


class _Lz4Compressor:
    """An LZ4 frame in the manner of the other compressors."""

    def __init__(self) -> None:
        from lz4.frame import LZ4FrameCompressor  # type: ignore[import-untyped]

        self._frame = LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes, /) -> bytes:
        start = b"" if self._begun else self._frame.begin()
        self._begun = True
        return bytes(start + self._frame.compress(data))

    def flush(self) -> bytes:
        start = b"" if self._begun else self._frame.begin()
        return bytes(start + self._frame.flush())


def _lz4_decompressor() -> _Decompressor:
    from lz4.frame import LZ4FrameDecompressor

    decompressor: _Decompressor = LZ4FrameDecompressor()
    return decompressor


def _zstd_decompressor() -> _Decompressor:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from backports import zstd
    decompressor: _Decompressor = zstd.ZstdDecompressor()
    return decompressor


def _zstd_compressor() -> Compressor:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from backports import zstd
    compressor: Compressor = zstd.ZstdCompressor(level=1)
    return compressor


# In the order in which ClickHouse prefers them. Brotli is not among the packages we install.
_COMPRESSORS: Final[dict[str, Callable[[], Compressor]]] = {
    "lz4": _Lz4Compressor,
    "zstd": _zstd_compressor,
    "gzip": lambda: zlib.compressobj(3, zlib.DEFLATED, _GZIP),
    "deflate": lambda: zlib.compressobj(3),
}
_DECOMPRESSORS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "lz4": _lz4_decompressor,
    "zstd": _zstd_decompressor,
    "gzip": _Zlib,
    "deflate": _Zlib,
}


def choose_encoding(accept_encoding: str) -> str | None:
    """The encoding of a response for a request's `Accept-Encoding`, None for none."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        if parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            accepted.add(name.strip())
    return next((name for name in _COMPRESSORS if name in accepted), None)


def compressor(encoding: str) -> Compressor:
    """A compressor for an encoding that `choose_encoding` returned."""
    return _COMPRESSORS[encoding]()


def decompressed(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The decompressed bytes of a body sent with this `Content-Encoding`, at most 1 MiB a piece.

    A body may be several frames one after the other, as clients write one for each block.
    Raises ClickHouseError: code 89 for an encoding that is not known, at once; code 271 for
    data that is broken or ends early, when it is met.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return iter(pieces)
    if name not in _DECOMPRESSORS:
        known = ", ".join(_DECOMPRESSORS)
        raise refusal(
            89,
            "UNKNOWN_COMPRESSION_METHOD",
            f"Content-Encoding {encoding[:50]!r} is not supported: send one of {known}.",
        )
    return _decompressed(pieces, name, _DECOMPRESSORS[name])


def _decompressed(
    pieces: Iterable[bytes], name: str, create: Callable[[], _Decompressor]
) -> Iterator[bytes]:
    frame: _Decompressor | None = None
    for piece in pieces:
        data = piece
        while data or (frame is not None and not frame.needs_input):
            if frame is None:
                frame = create()
            try:
                result = frame.decompress(data, _PIECE)
            except Exception as exception:  # each library raises a type of its own
                raise _broken(name, str(exception)) from exception
            data = b""
            if result:
                yield result
            if frame.eof:
                data = frame.unused_data
                frame = None
    if frame is not None:
        raise _broken(name, "it ends before its last byte")


def _broken(name: str, reason: str) -> ClickHouseError:
    return refusal(
        271,
        "CANNOT_DECOMPRESS",
        f"The request's body is not valid {name}: {reason}.",
    )
