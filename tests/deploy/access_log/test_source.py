"""Plain or gzip is told by content, and a break is found wherever it is."""

import gzip
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.access_log.source import UNPACKED_BYTES, BrokenGzip, LogSource, open_log


class Dribble(io.RawIOBase):
    """Hands out at most `step` bytes a read, as a pipe may."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._step))


def source(data: bytes, step: int = 1 << 20) -> LogSource:
    return LogSource(Dribble(data, step), name="log", size=None)


def unpacked(data: bytes, step: int = 1 << 20) -> bytes:
    return b"".join(source(data, step).chunks())


@given(st.lists(st.binary(max_size=300), min_size=1), st.integers(1, 40), st.integers(0, 100))
def test_gzip_members_come_out_as_one_and_plain_bytes_as_they_are(
    members: list[bytes], step: int, padding: int
) -> None:
    packed = b"".join(map(gzip.compress, members)) + b"\0" * padding
    assert unpacked(packed, step) == b"".join(members)
    plain = b"".join(members)
    if not plain.startswith(b"\x1f\x8b"):
        assert unpacked(plain, step) == plain


@given(st.data())
def test_a_gzip_cut_anywhere_is_broken(data: st.DataObject) -> None:
    packed = gzip.compress(os.urandom(500)) + gzip.compress(b"second")
    first = len(packed) - len(gzip.compress(b"second"))
    cut = data.draw(st.integers(2, len(packed) - 1).filter(lambda at: at != first))
    with pytest.raises(BrokenGzip):
        unpacked(packed[:cut])


@pytest.mark.parametrize("at", [10, -6, -1])
def test_a_damaged_byte_is_noticed(at: int) -> None:
    packed = bytearray(gzip.compress(b"some words\n" * 50))
    packed[at] ^= 0xFF
    with pytest.raises(BrokenGzip):
        unpacked(bytes(packed))


def test_what_follows_the_last_member_must_be_gzip() -> None:
    found = source(gzip.compress(b"good\n") + b"no gzip").chunks()
    assert next(found) == b"good\n"
    with pytest.raises(BrokenGzip):
        next(found)


def test_a_small_gzip_with_much_inside_comes_in_pieces() -> None:
    pieces = [len(chunk) for chunk in source(gzip.compress(b"\0" * 10_000_000)).chunks()]
    assert sum(pieces) == 10_000_000
    assert max(pieces) <= UNPACKED_BYTES


def test_bytes_are_counted_as_they_lie_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_bytes(gzip.compress(b"line\n" * 1000))
    with open_log(str(file)) as log:
        assert b"".join(log.chunks()) == b"line\n" * 1000
        assert log.bytes_read == log.size == file.stat().st_size


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\n"])
def test_what_is_too_short_to_be_gzip_is_plain(data: bytes) -> None:
    assert unpacked(data) == data
