"""Reads what aiokafka's C code does not: records whose headers have names that are not UTF-8.

Kafka's protocol says that a name is a string, and no broker checks it; a producer in C may write
any bytes. aiokafka raises UnicodeDecodeError for it, at the same record for ever. Only a fetched
partition with such a record is read by this, which costs several times as much.
"""

from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_MAGIC: int = 2


class KeptMemoryRecords(MemoryRecords):  # type: ignore[misc] # aiokafka ships no types
    """What was fetched of a partition, with its bytes at hand to be read again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class LenientMemoryRecords(_MemoryRecordsPy):  # type: ignore[misc]
    r"""The same, with `\xff` and its like in the place of what is not UTF-8."""

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
