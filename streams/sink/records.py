"""What goes into a row and what comes of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.failures import Invalid

Row = Sequence[object]


class Record(Protocol):
    """A message as aiokafka reads it; the timestamp is in epoch milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a batch: rows, the id of each (16 bytes, stored once), what is invalid."""

    ids: list[bytes]
    rows: list[Row]
    invalid: list[tuple[Record, Invalid]]
