"""What the sink makes of a message on an event topic, and under which key it must lie."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.cloud_events import CloudEvent
from schemas.decoding import InvalidEvent, WireEvent
from schemas.explanations import shown
from schemas.messages import announce_cloud_event, read_message
from schemas.topics import Topic, event_key
from streams.failures import Invalid
from streams.records import Record


def any_cloud_event(records: Sequence[Record]) -> bool:
    """Whether the headers of any of these messages say that it is a CloudEvent."""
    # A list of lists first: 0.03 µs a message, nearly all of which have no headers.
    headers = [record.headers for record in records]
    return any(headers) and any(map(announce_cloud_event, headers))


def read_event(record: Record) -> WireEvent | CloudEvent:
    """The event that a message is, in any form. Raises Invalid, which says why it is none."""
    received_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    try:
        return read_message(record.headers, record.value, received_at=received_at)
    except InvalidEvent as error:
        raise Invalid(error.reason, error.detail) from None


def refuse_wrong_key(topic: Topic, sent: WireEvent | CloudEvent, key: bytes | None) -> None:
    """Raises Invalid for any key but the one under which a copy meets the first."""
    if isinstance(sent, CloudEvent):
        required = sent.key(topic)
        name = f"CloudEvent's {topic.key.replace('event_id', 'id')}: {shown(required)}"
    else:
        required = event_key(topic, sent.event_id or "", sent.user_id)
        name = f"event's {topic.key}"
    if key != required.encode():
        raise Invalid("wrong_key", f"the message key must be the {name}")
