"""What a message on an event topic is: an event, or a CloudEvent in one of its two modes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import orjson

from schemas.cloud_events import MEDIA_TYPE, CloudEvent, from_binary, from_structured
from schemas.decoding import InvalidEvent, WireEvent, explain_event
from schemas.explanations import shown
from schemas.topics import Topic, event_key
from streams.failures import Invalid
from streams.sink.records import Headers, Record

_PREFIX: Final = "ce_"
_BINARY: Final = ("ce_id", "ce_specversion")
_CONTENT_TYPE: Final = "content-type"
_CLOUD_EVENTS: Final = b"application/cloudevents"


def any_cloud_event(records: Sequence[Record]) -> bool:
    """Whether the headers of any of these messages say that it is a CloudEvent."""
    # A list of lists first: 0.03 µs a message, nearly all of which have no headers.
    headers = [record.headers for record in records]
    return any(headers) and any(map(_announce_cloud_event, headers))


def read_event(record: Record) -> WireEvent | CloudEvent:
    """The event that a message is, in any form. Raises Invalid, which says why it is none."""
    received_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    headers, value = record.headers, record.value
    try:
        if headers and _announce_cloud_event(headers):
            return _announced(headers, value, received_at)
        if value is None:
            raise Invalid("empty", "the message has no value; events are never deleted by key")
        if _is_bare_cloud_event(value):
            return from_structured(value, received_at=received_at)
        return explain_event(value, received_at=received_at)
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


def _announced(headers: Headers, value: bytes | None, received_at: datetime) -> CloudEvent:
    content_type = _content_type(headers)
    if not content_type.startswith(_CLOUD_EVENTS):
        return from_binary(
            _attributes(headers), value or b"", received_at=received_at, prefix=_PREFIX
        )
    media_type = content_type.partition(b";")[0].strip().decode(errors="replace")
    if media_type != MEDIA_TYPE:
        raise _invalid(
            _CONTENT_TYPE, f"is {shown(media_type)}, which is not read; send {MEDIA_TYPE}"
        )
    return from_structured(value or b"", received_at=received_at)


def _announce_cloud_event(headers: Headers) -> bool:
    names = {name.lower() for name, _ in headers}
    return not names.isdisjoint(_BINARY) or (
        _CONTENT_TYPE in names and _content_type(headers).startswith(_CLOUD_EVENTS)
    )


def _content_type(headers: Headers) -> bytes:
    found = b""
    for name, value in headers:
        if name.lower() == _CONTENT_TYPE:
            found = (value or b"").strip().lower()
    return found


def _is_bare_cloud_event(value: bytes) -> bool:
    """Whether it says by itself that it is one, as a producer without headers sends it."""
    if b'"specversion"' not in value:
        return False
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and "specversion" in document


def _attributes(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for header, value in headers:
        name = header.lower()
        if name == _CONTENT_TYPE:
            name = "datacontenttype"
        elif name.startswith(_PREFIX):
            name = name.removeprefix(_PREFIX)
        else:
            continue
        if name in attributes:
            raise _invalid(header, "is given twice; give it once")
        try:
            attributes[name] = (value or b"").decode()
        except UnicodeDecodeError:
            raise _invalid(header, "is not UTF-8") from None
    return attributes


def _invalid(header: str, what: str) -> InvalidEvent:
    return InvalidEvent("invalid_field", shown(header), f"{shown(header)} {what}")
