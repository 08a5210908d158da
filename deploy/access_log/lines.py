"""Cuts a stream of bytes into lines, in bounded memory whatever the bytes are."""

from collections.abc import Iterable, Iterator

# A request line, a referrer and an agent of 8 KiB each (what servers accept), every byte of them
# written as `\xNN`, stay below this.
MAX_LINE_BYTES = 128 * 1024


def lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    r"""Yield the lines that end in each chunk, without `\n` or `\r\n`.

    The last line needs no line ending. Of a line longer than MAX_LINE_BYTES a beginning comes
    that is itself longer than MAX_LINE_BYTES. When `chunks` raises, the unfinished line is
    dropped: half a line would be taken for a request that nobody made.
    """
    rest = b""
    for chunk in chunks:
        found = (rest + chunk).split(b"\n")
        rest = found.pop()[: MAX_LINE_BYTES + 1]
        if found:
            yield [line[:-1] if line.endswith(b"\r") else line for line in found]
    if rest:
        yield [rest.removesuffix(b"\r")]
