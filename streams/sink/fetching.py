"""Records as aiokafka's C code reads them, without the Python object that it makes of each.

The sink uses offset, timestamp, key, value and headers; building `ConsumerRecord` with its eleven
fields costs 1 µs of the 7 µs that an event may cost here. It reaches into aiokafka, whose version
is pinned; a test reads a topic through it.
"""

from collections.abc import Iterator

from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition

from streams.records import Record
from streams.sink.lenient_records import KeptMemoryRecords, LenientMemoryRecords


class SlimRecords(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka ships no types
    """A fetched partition whose records are handed on as they were read."""

    _records: KeptMemoryRecords | LenientMemoryRecords
    _aborted_transactions: list[tuple[int, int]]
    _aborted_producers: set[int]
    next_fetch_offset: int

    # Its parameters are aiokafka's own.
    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self._records_iterator = self._unpack_all()

    def __iter__(self) -> Iterator[Record]:
        # The generator itself, without a Python call for each of its records; and always the
        # same one, which a reader leaves in the middle and comes back to.
        return self._records_iterator

    def _unpack_all(self) -> Iterator[Record]:
        aborted = list(self._aborted_transactions)
        try:
            yield from self._unpack_records()
        except UnicodeDecodeError:
            # aiokafka ends at a header's name: all is read again, by one that does not, and
            # what was handed on already is passed over.
            handed_on = self.next_fetch_offset
            self._aborted_transactions, self._aborted_producers = aborted, set()
            if isinstance(self._records, KeptMemoryRecords):
                self._records = LenientMemoryRecords(self._records.data)
            for record in self._unpack_records():
                if record.offset >= handed_on:
                    yield record

    def _consumer_record(self, tp: TopicPartition, record: Record) -> Record:  # noqa: ARG002
        return record


def read_slim_records() -> None:
    """From now on every consumer of this process gets slim records."""
    fetcher.PartitionRecords = SlimRecords
    fetcher.MemoryRecords = KeptMemoryRecords
