"""What a message on an event topic is: an event, or a CloudEvent in one of its two modes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct

from schemas.cloud_events import MEDIA_TYPE, CloudEvent, from_binary, from_structured
from schemas.decoding import InvalidEvent, WireEvent, explain_event, explain_new_event
from schemas.explanations import shown
from schemas.limits import MAX_METADATA_DEPTH

Headers = Sequence[tuple[str, bytes | None]]

_PREFIX: Final = "ce_"
_BINARY: Final = ("ce_id", "ce_specversion")
_CONTENT_TYPE: Final = "content-type"
_CLOUD_EVENTS: Final = b"application/cloudevents"


class _Bare(Struct):
    specversion: Raw = Raw(b"")


# Looks at nothing else: whatever is wrong there, it is a CloudEvent with something wrong.
_decode_bare: Final = msgspec.json.Decoder(_Bare).decode


def read_message(
    headers: Headers, value: bytes | None, *, received_at: datetime, nameless: bool = False
) -> WireEvent | CloudEvent:
    """The event that a message is, in any form. Raises InvalidEvent, which says why it is none.

    `nameless`: an event may lack its `event_id`, for who gives it one.
    """
    try:
        return _read(headers, value, received_at, nameless=nameless)
    except RecursionError:
        # Of the readers of JSON some have a bound of their own, others the interpreter's.
        raise InvalidEvent(
            "invalid_field",
            "metadata",
            f"it is nested far deeper than the {MAX_METADATA_DEPTH} levels that metadata may have",
        ) from None


def _read(
    headers: Headers, value: bytes | None, received_at: datetime, *, nameless: bool
) -> WireEvent | CloudEvent:
    if headers and announce_cloud_event(headers):
        return _announced(headers, value, received_at)
    if value is None:
        raise InvalidEvent("empty", "", "the message has no value; events are never deleted by key")
    if _is_bare_cloud_event(value):
        return from_structured(value, received_at=received_at)
    explain: Callable[..., WireEvent] = explain_new_event if nameless else explain_event
    return explain(value, received_at=received_at)


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


def announce_cloud_event(headers: Headers) -> bool:
    """Whether a message's headers say that it is a CloudEvent."""
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
        return bool(bytes(_decode_bare(value).specversion))
    except msgspec.MsgspecError:
        return False


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
