"""Rows of heartbeats, which the API looks for."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final

from schemas.heartbeats import Heartbeat
from schemas.topics import HEARTBEATS
from streams.failures import Invalid
from streams.records import Record
from streams.sink.model_rows import arrival, rows_of_model
from streams.sink.records import Made, Row, Source

HEARTBEAT_COLUMNS: Final = (
    "heartbeat_id",
    "process_id",
    "number",
    "sent_at",
    "received_at",
    "heartbeat_topic",
    "heartbeat_partition",
    "heartbeat_incarnation",
    "heartbeat_offset",
)


def heartbeat_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of heartbeats; others have none (somebody else wrote to the topic)."""

    def row(beat: Heartbeat, record: Record) -> tuple[bytes, Row]:
        if record.key != str(beat.process_id).encode():
            raise Invalid("wrong_key", f"the message key must be the {HEARTBEATS.key}")
        return beat.heartbeat_id.bytes, (
            str(beat.heartbeat_id),
            str(beat.process_id),
            beat.number,
            beat.sent_at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            *arrival(source, record),
        )

    return rows_of_model(Heartbeat, records, row)
