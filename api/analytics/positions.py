"""How far the log of events was told: the last message of each partition, as a text to resume by.

The sink stores a partition's messages one batch after the other, in the order of their offsets
(docs/adr/0003): what of a partition is stored later lies behind what was told of it, whatever
`received_at` says beside other partitions.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from api.clickhouse import Row

LOOK_BACK_MS: Final = 60_000
"""By so much may the partitions' sinks be apart: an event that is stored while one is told that
arrived longer after it is not told."""
MAX_CHARACTERS: Final = 32_768
MAX_PARTITIONS: Final = 1_000
# What Kafka takes for a topic's name.
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """Where a message lies in its partition, and when Kafka had it (epoch ms)."""

    incarnation: int
    offset: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """What was told: of each partition all up to its last message, and all from before the window.

    The window is the LOOK_BACK_MS before `newest_ms`; partitions without a message in it are
    left out of `last`.
    """

    newest_ms: int
    last: Mapping[Partition, Message]

    @property
    def since_ms(self) -> int:
        """Where the window begins."""
        return max(0, self.newest_ms - LOOK_BACK_MS)

    def advanced(self, messages: Mapping[Partition, Message]) -> "Position":
        """The position behind these as well."""
        newest_ms = max([self.newest_ms, *(each.received_ms for each in messages.values())])
        since_ms = newest_ms - LOOK_BACK_MS
        last = dict(self.last)
        for partition, message in messages.items():
            last[partition] = max(message, last.get(partition, message))
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


def parse_position(text: str) -> Position | None:
    """The position that a client sends back; None for a text that this API did not make."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        document = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (orjson.JSONDecodeError, Base64Error, ValueError):
        return None
    match document:
        case [int() as newest_ms, list() as told] if (
            0 <= newest_ms < 1 << 42 and len(told) <= MAX_PARTITIONS
        ):
            last: dict[Partition, Message] = {}
            for each in told:
                match each:
                    case [
                        str() as topic,
                        int() as partition,
                        int() as incarnation,
                        int() as offset,
                    ] if (
                        _TOPIC.fullmatch(topic)
                        and 0 <= partition < 1 << 16
                        and 0 <= incarnation < 1 << 32
                        and 0 <= offset < 1 << 63
                    ):
                        last[topic, partition] = Message(incarnation, offset, newest_ms)
                    case _:
                        return None
            return Position(newest_ms, last)
    return None


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
