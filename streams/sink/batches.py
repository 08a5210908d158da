"""A batch of one partition, its name, and the note of it that survives a crash."""

from dataclasses import dataclass
from typing import Final

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.sink.records import Record

_NOTE: Final = "batch-end="


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets `first..last` of a partition, both inclusive."""

    partition: TopicPartition
    first: int
    last: int

    @property
    def token(self) -> str:
        """The batch's name: the same span always has the same, so it is stored once."""
        return f"{self.partition.topic}:{self.partition.partition}:{self.first}-{self.last}"

    def noted(self) -> OffsetAndMetadata:
        """What the group commits before the batch is inserted: begun at first, ends at last."""
        return OffsetAndMetadata(self.first, f"{_NOTE}{self.last}")

    def done(self) -> OffsetAndMetadata:
        """What the group commits when the batch is stored and no other follows at once."""
        return OffsetAndMetadata(self.last + 1, "")


def batch_in_doubt(partition: TopicPartition, committed: OffsetAndMetadata | None) -> Span | None:
    """The batch that a committed offset's note names: perhaps stored, perhaps not, or in part."""
    if committed is None or not committed.metadata.startswith(_NOTE):
        return None
    return Span(partition, committed.offset, int(committed.metadata.removeprefix(_NOTE)))


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a span, in order; offsets may be missing where Kafka holds none."""

    span: Span
    records: list[Record]
