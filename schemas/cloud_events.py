"""CloudEvents 1.0: which event each of them is, in every mode, and how one lies on Kafka."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
import orjson
from msgspec import Raw, Struct
from pydantic import ValidationError

from schemas.cloud_event_attributes import (
    NO_NAME,
    CloudEventData,
    checked_attributes,
    invalid_member,
    is_attribute_name,
)
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
from schemas.explanations import shown
from schemas.topics import Topic, event_key

MEDIA_TYPE: Final = "application/cloudevents+json"
BATCH_MEDIA_TYPE: Final = "application/cloudevents-batch+json"

EXTENSIONS: Final = "cloudevent"
"""The member of `metadata` that keeps attributes for which an event has no field."""

_NAMESPACE: Final = UUID("b32b7542-4a77-4fa2-b358-24fc50d820dc")


class _Envelope(Struct):
    data: Raw = Raw(b"null")


class _Data(Struct):
    metadata: Raw = EMPTY_METADATA


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_data: Final = msgspec.json.Decoder(_Data).decode
_encode: Final = msgspec.json.Encoder().encode

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
        raise invalid_member("data_base64", "stands beside data; send one of the two")
    # What is null is absent, as CloudEvents has it in JSON; a name that is wrong stays wrong.
    attributes = {
        name: value
        for name, value in document.items()
        if value is not None or not is_attribute_name(name)
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
        raise invalid_member(f"{prefix}data", NO_NAME)
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
    context, extensions = checked_attributes(attributes)
    if context.time is not None:
        refuse_future("time", context.time, received_at)
    content, metadata = _content(data)
    path = content.path or context.subject
    if path is None:
        raise invalid_member(
            "data.path", "is required when there is no subject; send one of the two"
        )
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


def _with_extensions(metadata: Mapping[str, object], text: Raw, kept: Mapping[str, object]) -> Raw:
    """The metadata's JSON text, to the byte but for what is kept of the attributes."""
    if not kept and text is EMPTY_METADATA:
        return text
    written = bytes(text)
    if kept:
        if EXTENSIONS in metadata:
            raise invalid_member(
                f"data.metadata.{EXTENSIONS}",
                f"is where {', '.join(map(shown, kept))} of the CloudEvent would be kept; "
                "name yours otherwise",
            )
        rest = b"," + written[1:].lstrip() if metadata else b"}"
        written = b'{"%b":%b%b' % (EXTENSIONS.encode(), _encode(kept), rest)
    if problem := metadata_problem(written):
        raise invalid_member("data.metadata", problem)
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
    raise invalid_member("data_base64", "must be a string in base64")
