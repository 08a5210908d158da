"""A row of `events` as the document that answers have of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import orjson
from pydantic import BaseModel, JsonValue

from api.clickhouse import Row
from schemas.decoding import canonical_time

COLUMNS: Final = """
    topic, partition, incarnation, offset,
    toString(event_id), event_type, path, user_id, visitor_id, source,
    toUnixTimestamp64Milli(occurred_at), toUnixTimestamp64Milli(received_at),
    bot, device, browser, os, referrer, country, status, method, route, metadata
"""
"""What `stored_event` reads: the message that an event was made of, and what it says."""
KEY: Final = 4
"""So many columns say where the message lies."""
OCCURRED: Final = KEY + 6
"""The column with the time of occurrence."""


class StoredEvent(BaseModel):
    """An event as it was sent, when Kafka had it, and what its metadata says of the visit."""

    event_id: str
    event_type: str
    path: str
    user_id: str | None
    visitor_id: str | None
    source: str | None
    occurred_at: datetime
    received_at: datetime
    bot: bool
    device: str
    browser: str
    os: str
    referrer: str
    country: str
    status: str
    method: str
    route: str
    metadata: dict[str, JsonValue]


_VISIT: Final = tuple(StoredEvent.model_fields)[8:]


def stored_event(row: Row) -> dict[str, object]:
    """The event of a row of COLUMNS; its metadata is the text as it was sent."""
    event_id, event_type, path, user_id, visitor_id, source, occurred, received, *visit = row[KEY:]
    document = {
        "event_id": event_id,
        "event_type": event_type,
        "path": path,
        "user_id": user_id or None,
        "visitor_id": visitor_id or None,
        "source": source or None,
        "occurred_at": _time(occurred),
        "received_at": _time(received),
    }
    return document | dict(zip(_VISIT, visit, strict=True))


def document_of(event: Mapping[str, object]) -> dict[str, object]:
    """A stored event for orjson; the numbers in its metadata keep all digits."""
    return {**event, "metadata": orjson.Fragment(str(event["metadata"]))}


def _time(ms: object) -> str:
    return canonical_time(datetime.fromtimestamp(int(str(ms)) / 1000, UTC))
