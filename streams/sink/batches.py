"""A batch of one partition, its name, and the note of it that survives a crash."""

import re
from dataclasses import dataclass
from typing import Final

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.records import Record
from streams.sink.records import Source

_NOTE: Final = re.compile(r"incarnation=(\d+)(?: batch-end=(\d+)(?: shard=(\d+))?)?")


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets `first..last` of a source, both inclusive.

    `shard`: of ClickHouse's cluster, from 1, where the batch lies; 0: there is one server. Tokens
    are remembered by shard, so a batch that is repeated meets the same one, however many there are
    by then. It is no part of the name.
    """

    source: Source
    first: int
    last: int
    shard: int = 0

    @property
    def token(self) -> str:
        """The batch's name: the same span always has the same, so it is stored once."""
        topic, partition = self.source.partition
        return f"{topic}:{partition}:{self.source.incarnation}:{self.first}-{self.last}"

    def noted(self) -> OffsetAndMetadata:
        """What the group commits before the batch is inserted: begun at first, ends at last."""
        begun = reached(self.source, self.first)
        shard = f" shard={self.shard}" if self.shard else ""
        return OffsetAndMetadata(begun.offset, f"{begun.metadata} batch-end={self.last}{shard}")

    def done(self) -> OffsetAndMetadata:
        """What the group commits when the batch is stored and no other follows at once."""
        return reached(self.source, self.last + 1)


def reached(source: Source, offset: int) -> OffsetAndMetadata:
    """What the group commits when everything below the offset is stored."""
    return OffsetAndMetadata(offset, f"incarnation={source.incarnation}")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sink takes a partition up: new here, with a batch in doubt, or neither."""

    source: Source
    new: bool
    in_doubt: Span | None


def position_from(
    partition: TopicPartition, committed: OffsetAndMetadata | None, *, now: int
) -> Position:
    """The position that a committed offset and its note say.

    Without a note of ours the partition is new here: Kafka or the group's offsets were made anew,
    or somebody set them by hand. It then gets an incarnation of its own (`now`, epoch seconds),
    so that its offsets are not taken for those that were stored before.
    """
    note = _NOTE.fullmatch(committed.metadata) if committed is not None else None
    if committed is None or note is None:
        return Position(Source(partition, now), new=True, in_doubt=None)
    source = Source(partition, int(note[1]))
    in_doubt = Span(source, committed.offset, int(note[2]), int(note[3] or 0)) if note[2] else None
    return Position(source, new=False, in_doubt=in_doubt)


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a span, in order; offsets may be missing where Kafka holds none."""

    span: Span
    records: list[Record]
