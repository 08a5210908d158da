"""CloudEvents over HTTP: in which mode one is sent, and what its headers say."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Request
from msgspec import Raw
from msgspec.json import Decoder

from api.analytics.reserved_metadata import refuse_reserved
from api.bodies import media_type_of, parse_json
from api.problems import Problem, field_problem
from api.publishing import Message
from schemas.cloud_event_attributes import is_json_type
from schemas.cloud_events import (
    BATCH_MEDIA_TYPE,
    MEDIA_TYPE,
    CloudEvent,
    from_binary,
    from_structured,
)
from schemas.decoding import InvalidEvent
from schemas.explanations import shown
from schemas.topics import Topic

_PREFIX: Final = "ce-"
_METADATA: Final = "data.metadata"
_KAFKA_HEADERS: Final = [("content-type", MEDIA_TYPE.encode())]
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN_TYPES: Final = ("application/json", "")

_split_batch: Final = Decoder(list[Raw]).decode


class Form(Enum):
    """How events stand in a request."""

    PLAIN = auto()
    STRUCTURED = auto()
    BATCH = auto()
    BINARY = auto()


def form_of(headers: Mapping[bytes, bytes]) -> Form:
    """The form that the headers announce. Raises a 415 Problem when it is none of ours."""
    media_type = media_type_of(headers)
    binary = b"ce-id" in headers or b"ce-specversion" in headers
    if media_type in _PLAIN_TYPES:
        return Form.BINARY if binary else Form.PLAIN
    if media_type == MEDIA_TYPE:
        return Form.STRUCTURED
    if media_type == BATCH_MEDIA_TYPE:
        return Form.BATCH
    if binary and is_json_type(media_type):
        return Form.BINARY
    raise field_problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Content-Type",
        f"Content-Type {shown(media_type)!r} is not taken; send application/json, or CloudEvents "
        f"as {MEDIA_TYPE} or {BATCH_MEDIA_TYPE}",
    )


def binary_event(request: Request, body: bytes, now: datetime) -> CloudEvent:
    """The CloudEvent whose attributes are headers and whose data is the body.

    Raises InvalidEvent, and a 400 Problem for a body that is not JSON.
    """
    if body:
        parse_json(body)
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    event = from_binary(_attributes(headers), body, received_at=now, prefix=_PREFIX)
    refuse_reserved(event.event, _METADATA)
    return event


def structured_event(text: bytes, now: datetime) -> CloudEvent:
    """The CloudEvent that this JSON text is. Raises InvalidEvent."""
    event = from_structured(text, received_at=now)
    if b"data_base64" in text:
        _refuse_hidden_duplicates(event)
    refuse_reserved(event.event, _METADATA)
    return event


def batch_events(body: bytes, now: datetime) -> list[CloudEvent | InvalidEvent]:
    """What each item of an array is, each by its own bytes."""
    return [_or_why_not(bytes(item), now) for item in _split_batch(body)]


def refuse_other_form(form: Form, *, is_array: bool) -> None:
    """Raises a 422 Problem for an array in a type for one, and for one in a type for arrays."""
    if is_array is (form is Form.BATCH):
        return
    found, right = ("an array", BATCH_MEDIA_TYPE) if is_array else ("no array", MEDIA_TYPE)
    raise field_problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "body", f"the body is {found}; send it as {right}"
    )


def misplaced(text: bytes, error: InvalidEvent) -> InvalidEvent:
    """The error of an event in application/json, and a better one when it is a CloudEvent."""
    if b'"specversion"' not in text:
        return error
    value = orjson.loads(text)
    if not isinstance(value, dict) or "specversion" not in value:
        return error
    return InvalidEvent(
        error.reason,
        "specversion",
        f"specversion says that this is a CloudEvent; send it as {MEDIA_TYPE}, several as "
        f"{BATCH_MEDIA_TYPE}, apart from events in application/json",
    )


def message(event: CloudEvent, topic: Topic) -> Message:
    """Its message in structured mode, which keeps all that it says."""
    return Message(topic.name, event.key(topic).encode(), event.structured(), _KAFKA_HEADERS)


def _or_why_not(item: bytes, now: datetime) -> CloudEvent | InvalidEvent:
    try:
        return structured_event(item, now)
    except InvalidEvent as error:
        return error


def _refuse_hidden_duplicates(event: CloudEvent) -> None:
    try:
        parse_json(event.data or b"{}")
    except Problem as problem:
        raise InvalidEvent(
            "invalid_field", "data_base64", f"data_base64: {problem.detail}"
        ) from None


def _attributes(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for raw_name, value in headers:
        header = raw_name.decode("latin-1")
        if header == "content-type":
            if content_type := value.decode("latin-1").strip():
                attributes["datacontenttype"] = content_type
            continue
        if not header.startswith(_PREFIX):
            continue
        name = header.removeprefix(_PREFIX)
        if name in attributes:
            raise _invalid(header, "is given twice; give it once")
        try:
            attributes[name] = _unescaped(value).decode()
        except UnicodeDecodeError:
            raise _invalid(
                header, "is not UTF-8; percent-encode what is not ASCII, such as %C3%A9"
            ) from None
    return attributes


def _unescaped(value: bytes) -> bytes:
    """A header's value without quotes and percent-encoding, as the HTTP binding has it."""
    if len(value) > 1 and value[:1] == b'"' == value[-1:]:
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    return unquote_to_bytes(value)


def _invalid(header: str, what: str) -> InvalidEvent:
    return InvalidEvent("invalid_field", shown(header), f"{shown(header)} {what}")
