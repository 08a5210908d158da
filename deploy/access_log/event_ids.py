"""The event_id of a line: the same one each time that the line is read.

It is a UUIDv5 over the bytes of the line and its ordinal among identical lines, so a log sent
twice, or rotated files that overlap, change nothing; and two identical lines in one log, which
are two requests in one second, stay two.

Two things follow. The ordinals are remembered for the most recent REMEMBERED_LINES different
lines only: identical lines carry the same second, so they stand near each other, and a file of
any size is read in bounded memory. And identical lines on both sides of a rotation, read in two
runs, count once; read in one run (`cat access.log.1 access.log | weir replay -`) they count twice.
"""

from collections import OrderedDict
from hashlib import sha1
from uuid import UUID

# Written down for good: another namespace would make every line of every log a new event.
NAMESPACE = UUID("635d21e1-861d-562b-a02f-aa4216b6dfac")
REMEMBERED_LINES = 200_000
_PREFIX = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class EventIds:
    """Gives out the event_ids of one run; keeps at most `remembered` digests of 20 bytes."""

    def __init__(self, remembered: int = REMEMBERED_LINES) -> None:
        self._remembered = remembered
        self._ordinals: OrderedDict[bytes, int] = OrderedDict()

    def next_for(self, line: bytes) -> str:
        r"""The UUIDv5 of `line` the first time, then of `line` + `\n` + ordinal (1, 2, …)."""
        digest = sha1(_PREFIX + line, usedforsecurity=False).digest()
        # Taken out and put in again, it stands last: the first one is the longest unseen.
        ordinal = self._ordinals.pop(digest, -1) + 1
        self._ordinals[digest] = ordinal
        if len(self._ordinals) > self._remembered:
            self._ordinals.popitem(last=False)
        if ordinal:
            digest = sha1(b"%b%b\n%d" % (_PREFIX, line, ordinal), usedforsecurity=False).digest()
        name = digest.hex()
        low = f"5{name[13:16]}-{_VARIANT[name[16]]}{name[17:20]}-{name[20:32]}"
        return f"{name[:8]}-{name[8:12]}-{low}"
