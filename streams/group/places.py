"""Where the message lies that made a value of a table, at the head of the value.

Of two values under one key the one with the higher offset is the newer, whichever was written
last: a worker that was frozen may write old ones when it wakes up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final

_FORMAT: Final = 1
_PLACE: Final = Struct(">B16sq")
_DELETES: Final = "deletes"

PLACE_SIZE: Final = _PLACE.size

Put = tuple[bytes, bytes | None]
"""A key and its value; None deletes it."""


class UnreadableValue(Exception):
    """A value that this release cannot read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the message lies that made a value: its topic's id, and the offset."""

    topic_id: bytes
    offset: int

    def head(self) -> bytes:
        """What a value that the message made begins with."""
        return _PLACE.pack(_FORMAT, self.topic_id, self.offset)


def place_of(value: bytes) -> Place:
    """Which message made a value, or a deletion. Raises UnreadableValue."""
    if len(value) < _PLACE.size or value[0] != _FORMAT:
        raise UnreadableValue(
            "the table holds values of another release of Weir; run the newer one"
        )
    _, topic_id, offset = _PLACE.unpack_from(value)
    return Place(topic_id, offset)


def deletion_header(value: bytes) -> tuple[str, bytes]:
    """The header of a deletion of this value: what is newer stays."""
    return _DELETES, value[: _PLACE.size]


def deleted_place(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The place up to which a deletion deletes, None: whatever there is."""
    return next((value for name, value in headers if name == _DELETES), None)


def is_older(value: bytes, than: bytes, topic_id: bytes) -> bool:
    """Whether a value was made before another under the same key.

    `topic_id`: of the topic that is read now; what an earlier topic made is older.
    """
    one, other = place_of(value), place_of(than)
    if one.topic_id == other.topic_id:
        return one.offset < other.offset
    return other.topic_id == topic_id
