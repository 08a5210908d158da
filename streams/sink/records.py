"""What goes into a row and what comes of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.structs import TopicPartition

from streams.failures import Invalid
from streams.records import Record

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Source:
    """A partition, and since when (epoch seconds) this group has read it without a break.

    A topic that is made anew begins at offset 0 again: the incarnation tells its offsets from
    the old ones.
    """

    partition: TopicPartition
    incarnation: int


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a batch: rows, the id of each (16 bytes, stored once), what is invalid."""

    ids: list[bytes]
    rows: list[Row]
    invalid: list[tuple[Record, Invalid]]

    def take(self, part: "Made") -> None:
        """Adds what became of the records that follow."""
        self.ids.extend(part.ids)
        self.rows.extend(part.rows)
        self.invalid.extend(part.invalid)
