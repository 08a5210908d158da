r"""Reads what aiokafka does not: records whose headers have names that are not UTF-8.

Kafka's protocol says that a name is a string, and no broker checks it; a producer in C may write
any bytes. aiokafka raises for it, at the same record for ever, and drops what it had read before
it. Here such a name has `\xff` and its like in the place of what is not UTF-8, and its record is
handed on as any other. Only a fetched partition with such a record is read again by this, which
costs several times as much.

It reaches into aiokafka, whose version is pinned; it reads with C code or, where its wheel has
none, with Python, which raises something else.
"""

from collections.abc import Iterator

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_MAGIC: int = 2


def read_lenient_records() -> None:
    """From now on every consumer of this process reads such records. To be called by who has one.

    It may be called again: what a process reads more leniently or faster already stays so.
    """
    if not issubclass(fetcher.PartitionRecords, LenientRecords):
        read_records_as(LenientRecords)


def read_records_as(kind: "type[LenientRecords]") -> None:
    """From now on every consumer of this process hands on such records as `kind` does."""
    fetcher.PartitionRecords = kind
    fetcher.MemoryRecords = KeptMemoryRecords


class KeptMemoryRecords(MemoryRecords):  # type: ignore[misc] # aiokafka ships no types
    """What was fetched of a partition, with its bytes at hand to be read again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class LenientRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """A fetched partition that is read to its end, whatever its headers' names are."""

    _records: "KeptMemoryRecords | _LenientMemoryRecords"
    _aborted_transactions: list[tuple[int, int]]
    _aborted_producers: set[int]
    next_fetch_offset: int

    # Its parameters are aiokafka's own.
    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self._records_iterator = self._unpack_all()

    def _unpack_all(self) -> Iterator[object]:
        aborted = list(self._aborted_transactions)
        try:
            yield from self._unpack_records()
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not _is_of_a_name(error) or not isinstance(self._records, KeptMemoryRecords):
                raise
            # aiokafka ends at a header's name: all is read again, by one that does not, and
            # what was handed on already is passed over.
            handed_on = self.next_fetch_offset
            self._aborted_transactions, self._aborted_producers = aborted, set()
            self._records = _LenientMemoryRecords(self._records.data)
            for record in self._unpack_records():
                if record.offset >= handed_on:
                    yield record


def _is_of_a_name(error: Exception) -> bool:
    # Names are all that aiokafka decodes; its Python code hides why.
    return isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError)


class _LenientMemoryRecords(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self) -> object:
        data = self._next_slice
        batch = super().next_batch()
        if data is None or data[self.MAGIC_OFFSET] < _MAGIC:
            return batch
        return _LenientBatch(data)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Lenient):
            self._buffer = _Lenient(self._buffer)


class _Lenient(bytearray):
    def __getitem__(self, place: object) -> object:  # type: ignore[override]
        found = super().__getitem__(place)  # type: ignore[call-overload]
        return _Lenient(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        return super().decode(encoding, "backslashreplace")
