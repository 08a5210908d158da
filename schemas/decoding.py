"""From bytes to a checked event: fast where the bytes are canonical, explained where not.

Two lanes, one contract. The fast lane (msgspec, 1 µs an event) accepts only what the pydantic
model accepts and leaves everything else to the slow lane (pydantic, 6 µs, measured), which
decides and names the field. A property test holds the lanes against each other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Final

import msgspec
import orjson
from msgspec import Meta, Raw, Struct
from pydantic import ValidationError

from schemas.events import EVENT_TYPE_PATTERN, Event, NewEvent
from schemas.explanations import explain
from schemas.limits import (
    MAX_CLOCK_SKEW,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]

EMPTY_METADATA: Final = Raw(b"{}")
_UUID_CHARACTERS: Final = 36
_UUID_BYTES: Final = 16
_MILLISECONDS_LENGTH: Final = len("2026-11-24T09:30:00.000Z")
_CANONICAL_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", re.ASCII)
_CANONICAL_FIRST: Final = "1970"
_USUAL_EVENT_TYPES: Final = frozenset({"page_view", "conversion"})
_EVENT_TYPE: Final = re.compile(EVENT_TYPE_PATTERN)
# So many characters are within the bound in bytes, whatever they are.
SURELY_SMALL_METADATA: Final = MAX_METADATA_BYTES // 4
_OPENING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{}\]]', re.DOTALL)

_STRING_OR_NUMBER: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL
)


class WireEvent(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An event in canonical form, as Weir writes it to Kafka.

    What decodes is not canonical yet: `is_canonical` says whether it is. `event_id` is a
    lower-case UUID, `occurred_at` is `YYYY-MM-DDTHH:MM:SS.mmmZ`, `metadata` is
    the JSON text of an object, byte for byte as it was sent. `event_id` is absent only between
    a client and the edge.
    """

    event_type: str
    path: Annotated[str, Meta(min_length=1, max_length=MAX_PATH_CHARACTERS)]
    event_id: str | None = None
    user_id: _Name | None = None
    visitor_id: _Name | None = None
    occurred_at: str | None = None
    source: _Name | None = None
    metadata: Raw = EMPTY_METADATA


@dataclass
class InvalidEvent(Exception):
    """The event cannot be used. `reason` is a stable word, `field` a dotted path or ''."""

    reason: str
    field: str
    detail: str


decode_wire_event: Final = msgspec.json.Decoder(WireEvent).decode
encode_wire_event: Final = msgspec.json.Encoder().encode


class _Metadata(Struct):
    metadata: Raw = EMPTY_METADATA


_decode_metadata: Final = msgspec.json.Decoder(_Metadata).decode


def uuid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a canonical (lower-case, hyphened) UUID, or None for any other text."""
    if len(text) != _UUID_CHARACTERS or not (text[8] == text[13] == text[18] == text[23] == "-"):
        return None
    try:
        value = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    return value if len(value) == _UUID_BYTES and text == text.lower() else None


def canonical_time(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ` in UTC, cut (not rounded) to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def latest_occurred_at(received_at: datetime) -> str:
    """The last canonical `occurred_at` that an event arriving then may carry."""
    return canonical_time(received_at + MAX_CLOCK_SKEW)


def is_canonical_time(text: str, latest: str) -> bool:
    """Whether the text is canonical, a real moment, from 1970 and not after `latest`.

    Canonical texts sort as the moments do, so comparing them is comparing times.
    """
    if (
        len(text) != _MILLISECONDS_LENGTH
        or not _CANONICAL_FIRST <= text <= latest
        or _CANONICAL_TIME.fullmatch(text) is None
    ):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def metadata_problem(text: bytes) -> str | None:
    """What is wrong with the JSON text of `metadata` (well-formed JSON), or None.

    Counts openings outside strings only when there are enough of them to matter.
    """
    if len(text) > MAX_METADATA_BYTES:
        return (
            f"is {len(text)} bytes as JSON; keep it to {MAX_METADATA_BYTES}, "
            "for example by sending only what you will ask about"
        )
    if not text.startswith(b"{"):
        return "must be a JSON object, such as {}"
    if text.count(b"{") + text.count(b"[") > MAX_METADATA_DEPTH:
        depth = deepest = 0
        for match in _OPENING.finditer(text):
            token = match.group()
            depth += token in (b"{", b"[")
            depth -= token in (b"}", b"]")
            deepest = max(deepest, depth)
        if deepest > MAX_METADATA_DEPTH:
            return f"is nested {deepest} deep; keep it to {MAX_METADATA_DEPTH}"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "is not valid UTF-8"
    return None


def canonical_metadata(raw: Raw) -> str | None:
    """The JSON text of `metadata` when it is surely an object within all bounds, else None."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        return None
    if (
        len(text) > SURELY_SMALL_METADATA
        or text[0] != "{"
        or text.count("{") + text.count("[") > MAX_METADATA_DEPTH
    ):
        return None
    return text


def is_canonical_event_type(text: str) -> bool:
    return text in _USUAL_EVENT_TYPES or (
        len(text) <= MAX_EVENT_TYPE_CHARACTERS and _EVENT_TYPE.fullmatch(text) is not None
    )


def is_canonical(event: WireEvent, latest: str) -> bool:
    """Whether a decoded event can be taken as it is; `latest` bounds `occurred_at`."""
    return (
        is_canonical_event_type(event.event_type)
        and (event.event_id is None or uuid_bytes(event.event_id) is not None)
        and (event.occurred_at is None or is_canonical_time(event.occurred_at, latest))
        and canonical_metadata(event.metadata) is not None
    )


def explain_event(data: bytes, *, received_at: datetime) -> WireEvent:
    """The slow lane for a message on Kafka: the canonical event, or why there is none.

    Raises InvalidEvent, which names the field.
    """
    return _explained(data, Event, received_at)


def explain_new_event(data: bytes, *, received_at: datetime) -> WireEvent:
    """The slow lane for one event over HTTP: as `explain_event`, `event_id` optional."""
    return _explained(data, NewEvent, received_at)


def _explained(data: bytes, model: type[Event | NewEvent], received_at: datetime) -> WireEvent:
    try:
        readable, _ = read_json(data)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent("not_json", "", f"not JSON in UTF-8: {error}") from None
    try:
        event = model.model_validate_json(readable)
    except ValidationError as error:
        raise invalid_event(error) from None
    metadata = bytes(_decode_metadata(data).metadata).strip()
    if problem := metadata_problem(metadata):
        raise InvalidEvent("invalid_field", "metadata", f"metadata {problem}")
    if event.occurred_at is not None:
        refuse_future("occurred_at", event.occurred_at, received_at)
    return WireEvent(
        event_type=event.event_type,
        path=event.path,
        event_id=None if event.event_id is None else str(event.event_id),
        user_id=event.user_id,
        visitor_id=event.visitor_id,
        occurred_at=None if event.occurred_at is None else canonical_time(event.occurred_at),
        source=event.source,
        metadata=EMPTY_METADATA if metadata == b"{}" else Raw(metadata),
    )


def refuse_future(field: str, occurred_at: datetime, received_at: datetime) -> None:
    """Raises InvalidEvent when it occurred later after its arrival than clocks may be wrong."""
    if occurred_at > received_at + MAX_CLOCK_SKEW:
        raise InvalidEvent(
            "invalid_field",
            field,
            f"{field} lies more than {MAX_CLOCK_SKEW // timedelta(hours=1)} hours in the "
            "future; send the time when it happened, in UTC",
        )


def read_json(data: bytes) -> tuple[bytes, object]:
    """The JSON text with 0.5 for each number that no double can hold, and its value.

    JSON has no bound on them, and the fast lane, which keeps `metadata` as text, does not look
    at each: it would cost more than all of its checks. So the slow lane takes them too; 0.5,
    because outside of metadata it is refused wherever a whole number may stand.

    Raises orjson.JSONDecodeError when it is not JSON in UTF-8.
    """
    try:
        return data, orjson.loads(data)
    except orjson.JSONDecodeError as error:
        readable = _STRING_OR_NUMBER.sub(_bounded, data)
        try:
            return readable, orjson.loads(readable)
        except orjson.JSONDecodeError:
            raise error from None


def _bounded(match: re.Match[bytes]) -> bytes:
    token = match.group()
    return token if token[:1] == b'"' or isfinite(float(token)) else b"0.5"


def invalid_event(
    error: ValidationError, *, within: str = "", advice: Mapping[str, str] | None = None
) -> InvalidEvent:
    """The first of a model's errors as an InvalidEvent.

    `within` names the field that the model is of, when it is one; `advice` is as for `explain`.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    if within:
        first = {**first, "loc": (within, *first["loc"])}
    field, detail = explain(first, advice)
    return InvalidEvent("invalid_field", field, detail)
