"""How far the log of events was told: the last message of each partition, as a text to resume by.

The sink stores a partition's messages one batch after the other, in the order of their offsets
(docs/adr/0003): what of a partition is stored later lies behind what was told of it, whatever
`received_at` says beside other partitions.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

import orjson

from api.clickhouse import Row
from schemas.topics import EVENT_TOPICS

LOOK_BACK_MS: Final = 60_000
"""By so much may the partitions' sinks be apart: an event that is stored while one is told that
arrived longer after it is not told."""
MAX_PARTITIONS: Final = 4 * sum(topic.partitions for topic in EVENT_TOPICS)
"""Of what a client sends back: each is looked at for every row. Topics may have grown."""
MAX_CHARACTERS: Final = 20_480
"""Enough for so many, with the longest names that Kafka takes and the largest numbers."""

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """Where a message lies in its partition, and when Kafka had it or one before it (epoch ms)."""

    incarnation: int
    offset: int
    received_ms: int

    def joined(self, other: "Message") -> "Message":
        """The later one in the partition, with the later time: the broker's clock may go back."""
        later = max(self, other)
        return Message(later.incarnation, later.offset, max(self.received_ms, other.received_ms))


@dataclass(frozen=True, slots=True)
class Position:
    """What was told: of each partition all up to its last message, and all from before the window.

    The window begins LOOK_BACK_MS before `newest_ms`, which is never in the future: one event with
    such a time would keep all others out of it. Partitions without a message in it are left out
    of `last`.
    """

    newest_ms: int
    last: Mapping[Partition, Message]

    @property
    def since_ms(self) -> int:
        """Where the window begins."""
        return max(0, self.newest_ms - LOOK_BACK_MS)

    def advanced(self, messages: Iterable[tuple[Partition, Message]], now_ms: int) -> "Position":
        """The position behind these as well."""
        newest_ms = self.newest_ms
        last = dict(self.last)
        for partition, message in messages:
            newest_ms = max(newest_ms, min(message.received_ms, now_ms))
            last[partition] = message.joined(last.get(partition, message))
        since_ms = newest_ms - LOOK_BACK_MS
        return Position(
            newest_ms,
            {key: message for key, message in last.items() if message.received_ms >= since_ms},
        )

    def covers(self, other: "Position") -> bool:
        """Whether all that was told there was told here too."""
        return self.newest_ms >= other.newest_ms and all(
            self._has(partition, message) for partition, message in other.last.items()
        )

    def parameters(self, prefix: str) -> dict[str, object]:
        """What a question binds: `<prefix>_since` (epoch ms) and `<prefix>_told`."""
        told = [
            (*partition, message.incarnation, message.offset)
            for partition, message in self.last.items()
        ]
        return {f"{prefix}_since": self.since_ms, f"{prefix}_told": told}

    def text(self) -> str:
        """The position for a client to send back."""
        since_ms = self.newest_ms - LOOK_BACK_MS
        told = [
            (*partition, message.incarnation, message.offset)
            for partition, message in self.last.items()
            if message.received_ms >= since_ms
        ]
        return urlsafe_b64encode(orjson.dumps((self.newest_ms, told))).decode().rstrip("=")

    def _has(self, partition: Partition, message: Message) -> bool:
        mine = self.last.get(partition)
        if mine is None:
            return message.received_ms < self.since_ms
        return (mine.incarnation, mine.offset) >= (message.incarnation, message.offset)


def parse_position(text: str, topics: Collection[str]) -> Position | None:
    """The position that a client sends back; None for a text that this API did not make.

    Nor is one taken that names other topics, or more partitions than MAX_PARTITIONS.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        document = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (orjson.JSONDecodeError, Base64Error, ValueError):
        return None
    match document:
        case [newest_ms, list() as told] if (
            _is_number(newest_ms, 42) and len(told) <= MAX_PARTITIONS
        ):
            last: dict[Partition, Message] = {}
            for each in told:
                match each:
                    case [str() as topic, partition, incarnation, offset] if (
                        topic in topics
                        and _is_number(partition, 16)
                        and _is_number(incarnation, 32)
                        and _is_number(offset, 63)
                    ):
                        last[topic, partition] = Message(incarnation, offset, newest_ms)
                    case _:
                        return None
            return Position(newest_ms, last)
    return None


def _is_number(value: object, bits: int) -> TypeGuard[int]:
    # JSON's true is an int too, to Python.
    return type(value) is int and 0 <= value < 1 << bits


def positions_along(start: Position, end: Position, rows: Sequence[Row]) -> list[Position]:
    """The position behind each of these rows, told one by one on the way from `start` to `end`.

    Rows begin with topic, partition, incarnation and offset, as the list of events has them, in
    the order in which they are told. What lies between and is no row counts as told before them.
    """
    if not rows:
        return []
    last = {**start.last, **end.last}
    for row in reversed(rows):
        partition, message = _place(row, start.newest_ms)
        if message.offset > 0:
            last[partition] = Message(message.incarnation, message.offset - 1, start.newest_ms)
        else:
            last.pop(partition, None)
    behind = []
    for row in rows[:-1]:
        partition, message = _place(row, start.newest_ms)
        last[partition] = message
        behind.append(Position(start.newest_ms, dict(last)))
    return [*behind, end]


def _place(row: Row, received_ms: int) -> tuple[Partition, Message]:
    topic, partition, incarnation, offset = row[:4]
    return (
        (str(topic), int(str(partition))),
        Message(int(str(incarnation)), int(str(offset)), received_ms),
    )
