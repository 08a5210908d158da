"""Lines come out whole wherever the chunks end, in bounded memory."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.access_log.lines import MAX_LINE_BYTES, lines


@given(st.lists(st.text("ab\r\n").map(str.encode)))
def test_chunks_do_not_show_in_the_lines(chunks: list[bytes]) -> None:
    whole = b"".join(chunks).split(b"\n")
    if not whole[-1]:
        whole.pop()
    assert [line for found in lines(chunks) for line in found] == [
        line.removesuffix(b"\r") for line in whole
    ]


def test_a_line_without_end_needs_no_memory_without_end() -> None:
    piece = b"x" * 65_536
    tracemalloc.start()
    try:
        found = list(lines(piece for _ in range(500)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found[0][0]) > MAX_LINE_BYTES
    assert most < 10 * MAX_LINE_BYTES


def test_half_a_line_before_a_break_is_dropped() -> None:
    def broken() -> Iterator[bytes]:
        yield b"whole\nhal"
        raise OSError

    found = lines(broken())
    assert next(found) == [b"whole"]
    with pytest.raises(OSError):  # noqa: PT011 - the very error that was raised
        next(found)
