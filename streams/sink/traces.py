"""Shows in the traces of messages when they were stored."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

from schemas.tracing import stored
from streams.records import Record
from streams.sink.batches import Span

MAX_TRACED: Final = 32
"""Of a batch so many messages have a span; more would cost more than they tell."""


def storing(table: str, span: Span, records: Sequence[Record]) -> AbstractContextManager[object]:
    """The spans of a batch that is inserted: one of its own, and one in the trace of each message.

    None where no message is part of a recorded trace.
    """
    topic, partition = span.source.partition
    return stored(
        f"INSERT {table}",
        (record.headers for record in records),
        {
            "db.system.name": "clickhouse",
            "db.operation.name": "INSERT",
            "db.collection.name": table,
            "db.operation.batch.size": len(records),
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
        },
        most=MAX_TRACED,
    )
