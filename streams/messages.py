"""A message that a worker writes to Kafka."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.tracing import carried


class Message(NamedTuple):
    """A message to be written; without a partition its key decides."""

    topic: str
    partition: int | None
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def carrying_trace(messages: Iterable[Message]) -> Iterable[Message]:
    """The messages with headers by which the running trace goes on in who reads them."""
    headers = carried()
    if not headers:
        return messages
    return [each._replace(headers=[*each.headers, *headers]) for each in messages]
