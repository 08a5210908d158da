"""A message that a worker writes to Kafka."""

from collections.abc import Sequence
from typing import NamedTuple


class Message(NamedTuple):
    """A message to be written; without a partition its key decides."""

    topic: str
    partition: int | None
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
