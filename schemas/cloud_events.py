"""CloudEvents 1.0: which event each of them is, in every mode, and how one lies on Kafka."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, TypeGuard
from uuid import UUID, uuid5

import msgspec
import orjson
from msgspec import Raw, Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.decoding import (
    EMPTY_METADATA,
    InvalidEvent,
    WireEvent,
    canonical_time,
    invalid_event,
    metadata_problem,
    read_json,
    refuse_future,
)
from schemas.events import EventType, Metadata, Moment, Name, Path, UserId, VisitorId
from schemas.explanations import shown
from schemas.topics import Topic, event_key

MEDIA_TYPE: Final = "application/cloudevents+json"
BATCH_MEDIA_TYPE: Final = "application/cloudevents-batch+json"

EXTENSIONS: Final = "cloudevent"
"""The member of `metadata` that keeps attributes for which an event has no field."""

# How the message was traced and spread, and what its data looks like: nothing to count by.
_LEFT_OUT: Final = frozenset({"traceparent", "tracestate", "partitionkey", "dataschema"})
_NAMESPACE: Final = UUID("b32b7542-4a77-4fa2-b358-24fc50d820dc")
_INTEGERS: Final = range(-(2**31), 2**31)
_NAME: Final = re.compile(r"[a-z0-9]+")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON_TYPE: Final = re.compile(r"(?:application|text)/(?:[\w.+-]+\+)?json", re.ASCII)
_NO_NAME: Final = (
    "cannot be an attribute's name: CloudEvents has them of the letters a to z in lower case and "
    "digits alone, and not `data`; what is your own goes into `data.metadata`"
)
_NOT_JSON_TYPE: Final = "must be application/json, or a type that ends in +json"


def is_json_type(content_type: str) -> bool:
    """Whether a content type, with or without parameters, says JSON."""
    return _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def _says_json(content_type: str) -> str:
    if not is_json_type(content_type):
        raise ValueError(_NOT_JSON_TYPE)
    return content_type


class CloudEventData(BaseModel):
    """What a CloudEvent's attributes have no place for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[Path | None, Field(description="As an event's; absent: the `subject`.")] = None
    user_id: UserId = None
    visitor_id: VisitorId = None
    metadata: Metadata = {}


class CloudEventAttributes(BaseModel):
    """A CloudEvent's context attributes; extension attributes are its extra fields."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    specversion: Annotated[Literal["1.0"], Field(description="The version of CloudEvents.")]
    id: Annotated[
        Name,
        Field(
            description="With `source` it names the event: both again count once.",
            examples=["A234-1234"],
        ),
    ]
    source: Annotated[
        Name, Field(description="What sent it; the event's `source`.", examples=["/shop"])
    ]
    type: EventType
    time: Annotated[
        Moment | None,
        Field(
            description=(
                "When it happened (RFC 3339 with a zone, kept to the millisecond); "
                "absent: when it arrives. At most a day in the future."
            ),
            examples=["2026-11-24T09:30:00Z"],
        ),
    ] = None
    subject: Annotated[
        Path | None,
        Field(description="The event's `path`, unless `data.path` is given.", examples=["/cart"]),
    ] = None
    datacontenttype: Annotated[
        str | None,
        AfterValidator(lambda text: text if text is None else _says_json(text)),
        Field(description="`application/json`, or a type that ends in `+json`."),
    ] = None
    dataschema: Annotated[str | None, Field(min_length=1, description="Not looked at.")] = None


class _Envelope(Struct):
    data: Raw = Raw(b"null")


class _Data(Struct):
    metadata: Raw = EMPTY_METADATA


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_data: Final = msgspec.json.Decoder(_Data).decode
_encode: Final = msgspec.json.Encoder().encode

_ATTRIBUTE_ADVICE: Final = {
    "literal_error": 'must be "1.0", the version of CloudEvents that is taken here',
}
_DATA_ADVICE: Final = {
    "extra_forbidden": (
        "is not a member of data; an event's are path, user_id, visitor_id and metadata, and "
        "what is your own goes into `data.metadata`"
    ),
}


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """A checked CloudEvent: the event that it is, and its own parts to write it again.

    `data` is the JSON text that it came with.
    """

    event: WireEvent
    id: str
    source: str
    subject: str | None
    path: str | None
    metadata: Raw
    extensions: Mapping[str, object]
    data: bytes | None

    def key(self, topic: Topic) -> str:
        """The message key on its topic: its `id`, for a conversion the user where one is named.

        Producers know `id` before any mapping, so that what they send and what comes over HTTP
        meet in one partition.
        """
        return event_key(topic, self.id, self.event.user_id)

    def structured(self) -> bytes:
        """Its JSON on Kafka: the same event when it is read again, however it came."""
        event = self.event
        data = {
            "path": self.path,
            "user_id": event.user_id,
            "visitor_id": event.visitor_id,
            "metadata": None if self.metadata == EMPTY_METADATA else self.metadata,
        }
        document = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": event.event_type,
            "time": event.occurred_at,
            "subject": self.subject,
            **self.extensions,
            "datacontenttype": "application/json",
            "data": {name: value for name, value in data.items() if value is not None},
        }
        return _encode({name: value for name, value in document.items() if value is not None})


def cloud_event_id(source: str, identity: str) -> UUID:
    """The `event_id` of the CloudEvent with this `source` and `id`, always the same one.

    The length keeps ("a", "bc") and ("ab", "c") apart.
    """
    return uuid5(_NAMESPACE, f"{len(source)}:{source}{identity}")


def from_structured(text: bytes, *, received_at: datetime) -> CloudEvent:
    """The CloudEvent that this JSON text is. Raises InvalidEvent, which names the field."""
    _, document = _read(text, "")
    if not isinstance(document, dict):
        raise InvalidEvent(
            "invalid_field",
            "",
            'the CloudEvent must be a JSON object, such as {"specversion": "1.0", "id": "1", '
            '"source": "/shop", "type": "page_view", "subject": "/cart"}',
        )
    encoded = document.pop("data_base64", None)
    has_data = document.pop("data", None) is not None
    if encoded is not None and has_data:
        raise _invalid("data_base64", "stands beside data; send one of the two")
    # What is null is absent, as CloudEvents has it in JSON; a name that is wrong stays wrong.
    attributes = {
        name: value
        for name, value in document.items()
        if value is not None or not _NAME.fullmatch(name)
    }
    data = bytes(_decode_envelope(text).data) if has_data else None
    if encoded is not None:
        data = _decoded(encoded)
    return _checked(attributes, data, received_at)


def from_binary(
    attributes: Mapping[str, str], data: bytes, *, received_at: datetime, prefix: str
) -> CloudEvent:
    """The CloudEvent of a message in binary mode: attributes by their names, data as it was sent.

    Raises InvalidEvent, which names the header: `prefix` is what stands before an attribute's
    name there.
    """
    if "data" in attributes:
        raise _invalid(f"{prefix}data", _NO_NAME)
    try:
        return _checked(attributes, data or None, received_at)
    except InvalidEvent as error:
        if not error.field or error.field.partition(".")[0] == "data":
            raise
        header = (
            "content-type" if error.field == "datacontenttype" else f"{prefix}{shown(error.field)}"
        )
        detail = header + error.detail.removeprefix(error.field)
        raise InvalidEvent(error.reason, header, detail) from None


def _checked(
    attributes: Mapping[str, object], data: bytes | None, received_at: datetime
) -> CloudEvent:
    try:
        context = CloudEventAttributes.model_validate(attributes)
    except ValidationError as error:
        raise invalid_event(error, advice=_advice(error, _ATTRIBUTE_ADVICE)) from None
    extensions = _extensions(context.model_extra or {})
    for name, value in attributes.items():
        if isinstance(value, str) and _CONTROL_CHARACTERS.search(value):
            raise _invalid(name, "holds a control character, which no attribute may")
    if context.time is not None:
        refuse_future("time", context.time, received_at)
    content, metadata = _content(data)
    path = content.path or context.subject
    if path is None:
        raise _invalid("data.path", "is required when there is no subject; send one of the two")
    kept = dict(extensions)
    if context.subject is not None and context.subject != path:
        kept["subject"] = context.subject
    event = WireEvent(
        event_type=context.type,
        path=path,
        event_id=str(cloud_event_id(context.source, context.id)),
        user_id=content.user_id,
        visitor_id=content.visitor_id,
        occurred_at=None if context.time is None else canonical_time(context.time),
        source=context.source,
        metadata=_with_extensions(content.metadata, metadata, kept),
    )
    return CloudEvent(
        event,
        context.id,
        context.source,
        context.subject,
        content.path,
        metadata,
        extensions,
        data,
    )


def _advice(error: ValidationError, advice: Mapping[str, str]) -> Mapping[str, str]:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["loc"] == ("datacontenttype",) and first["type"] == "value_error":
        return {**advice, "value_error": _NOT_JSON_TYPE}
    return advice


def _content(data: bytes | None) -> tuple[CloudEventData, Raw]:
    """What the data says, and the JSON text of its metadata as it was sent."""
    if data is None:
        return CloudEventData(), EMPTY_METADATA
    readable, _ = _read(data, "data")
    try:
        content = CloudEventData.model_validate_json(readable)
    except ValidationError as error:
        raise invalid_event(error, within="data", advice=_DATA_ADVICE) from None
    metadata = bytes(_decode_data(data).metadata).strip()
    return content, EMPTY_METADATA if metadata == b"{}" else Raw(metadata)


def _extensions(given: Mapping[str, object]) -> dict[str, object]:
    """The extension attributes that are kept."""
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise _invalid(name, _NO_NAME)
        if not _is_extension(value):
            raise _invalid(name, "must be a string, a boolean or a whole number of 32 bits")
    return {name: value for name, value in given.items() if name not in _LEFT_OUT}


def _is_extension(value: object) -> TypeGuard[str | bool | int]:
    return isinstance(value, str | bool) or (isinstance(value, int) and value in _INTEGERS)


def _with_extensions(metadata: Mapping[str, object], text: Raw, kept: Mapping[str, object]) -> Raw:
    """The metadata's JSON text, to the byte but for what is kept of the attributes."""
    if not kept and text is EMPTY_METADATA:
        return text
    written = bytes(text)
    if kept:
        if EXTENSIONS in metadata:
            raise _invalid(
                f"data.metadata.{EXTENSIONS}",
                f"is where {', '.join(map(shown, kept))} of the CloudEvent would be kept; "
                "name yours otherwise",
            )
        rest = b"," + written[1:].lstrip() if metadata else b"}"
        written = b'{"%b":%b%b' % (EXTENSIONS.encode(), _encode(kept), rest)
    if problem := metadata_problem(written):
        raise _invalid("data.metadata", problem)
    return Raw(written)


def _read(text: bytes, field: str) -> tuple[bytes, object]:
    try:
        return read_json(text)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(
            "not_json", field, f"{field} is not JSON in UTF-8: {error}".lstrip()
        ) from None


def _decoded(encoded: object) -> bytes:
    try:
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        pass
    raise _invalid("data_base64", "must be a string in base64")


def _invalid(field: str, what: str) -> InvalidEvent:
    name = shown(field)
    return InvalidEvent("invalid_field", name, f"{name} {what}")
