"""`POST /analytics/events`: validate, name, publish; acknowledge when Kafka has it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder
from pydantic import BaseModel, Field
from uuid_utils import uuid7

from api.analytics import cloud_events
from api.analytics.cloud_events import Form
from api.bodies import headers_of, parse_json, read_body
from api.identity.access import Access, declared
from api.identity.principal import Role
from api.problems import FieldProblem, Problem, documented, field_problem, unavailable
from api.publishing import KafkaUnavailable, Message
from api.state import clock, publisher
from schemas.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE, CloudEvent
from schemas.decoding import (
    InvalidEvent,
    WireEvent,
    canonical_time,
    decode_wire_event,
    encode_wire_event,
    explain_new_event,
    is_canonical,
    latest_occurred_at,
)
from schemas.events import NewEvent
from schemas.json_schemas import CloudEventDocument
from schemas.limits import MAX_EVENTS_PER_REQUEST
from schemas.topics import event_key, topic_for

log = structlog.get_logger()

ACCESS: Final = Access([Role.PRODUCER])

router = APIRouter(tags=["analytics"], dependencies=[declared(ACCESS)])

Checked = WireEvent | CloudEvent
"""An event that can be published."""

_decode_batch: Final = Decoder(list[WireEvent]).decode
_split_batch: Final = Decoder(list[Raw]).decode


class Accepted(BaseModel):
    """One event, and Kafka has it."""

    event_id: Annotated[str, Field(examples=["019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"])]


class ItemResult(BaseModel):
    """What became of one event of an array."""

    index: int
    status: Literal["accepted", "rejected"]
    event_id: str | None = None
    error: FieldProblem | None = None


class BatchResult(BaseModel):
    """What became of an array of events; the good ones are in, whatever the others are."""

    accepted: int
    rejected: int
    items: list[ItemResult]


_EXAMPLE: Final = {
    "event_type": "page_view",
    "path": "/pricing",
    "visitor_id": "v-7f3a",
    "metadata": {"referrer": "https://example.com/"},
}
_CLOUD_EVENT_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "A234-1234",
    "source": "/shop",
    "type": "page_view",
    "subject": "/pricing",
    "data": {"visitor_id": "v-7f3a", "metadata": {"referrer": "https://example.com/"}},
}
_NEW_EVENT: Final = {"$ref": "#/components/schemas/NewEvent"}
_CLOUD_EVENT: Final = {"$ref": "#/components/schemas/CloudEventDocument"}


def _array_of(items: dict[str, str]) -> dict[str, object]:
    return {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS_PER_REQUEST, "items": items}


_REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [_NEW_EVENT, _array_of(_NEW_EVENT)]},
            "examples": {
                "one event": {"value": _EXAMPLE},
                "an array": {
                    "value": [
                        _EXAMPLE,
                        {"event_type": "conversion", "path": "/signup", "user_id": "u-42"},
                    ]
                },
            },
        },
        MEDIA_TYPE: {
            "schema": _CLOUD_EVENT,
            "examples": {"a CloudEvent": {"value": _CLOUD_EVENT_EXAMPLE}},
        },
        BATCH_MEDIA_TYPE: {
            "schema": _array_of(_CLOUD_EVENT),
            "examples": {"CloudEvents": {"value": [_CLOUD_EVENT_EXAMPLE]}},
        },
    },
}

DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (NewEvent, CloudEventDocument)


@router.post(
    "/analytics/events",
    status_code=HTTPStatus.ACCEPTED,
    summary="Send one event, or an array of up to 1,000",
    response_model=Accepted | BatchResult,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def ingest_events(request: Request) -> Response:
    """Answers once Kafka has the events. The same `event_id` sent again counts once.

    An array gets a result for each item: a bad one does not reject the good ones. Answers 503
    when Kafka cannot confirm in time; the events may still arrive, so send them again with the
    `event_ids` of that answer.

    A CloudEvent may also be sent in binary mode: its attributes as headers `ce-id`, `ce-source`
    and so on, its data as the body in `application/json`. A body may be packed
    (`Content-Encoding: gzip`).
    """
    headers = headers_of(request)
    form = cloud_events.form_of(headers)
    body = await read_body(request, headers)
    now = clock(request)()
    if form is Form.BINARY:
        return await _ingest_one(
            request, lambda: cloud_events.binary_event(request, body, now), now
        )
    value = parse_json(body)
    if form is not Form.PLAIN:
        return await _ingest_cloud_events(request, form, body, value, now)
    if isinstance(value, list):
        _refuse_count(len(value))
        return await _ingest_batch(request, _batch(body, now), now)
    return await _ingest_one(request, lambda: _one(body, now), now)


async def _ingest_cloud_events(
    request: Request, form: Form, body: bytes, value: object, now: datetime
) -> Response:
    cloud_events.refuse_other_form(form, is_array=isinstance(value, list))
    if isinstance(value, list):
        _refuse_count(len(value))
        return await _ingest_batch(request, cloud_events.batch_events(body, now), now)
    return await _ingest_one(request, lambda: cloud_events.structured_event(body, now), now)


def _refuse_count(count: int) -> None:
    if not 1 <= count <= MAX_EVENTS_PER_REQUEST:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "body",
            f"the body is an array of {count} events; "
            f"send 1 to {MAX_EVENTS_PER_REQUEST} in one request",
        )


async def _ingest_one(request: Request, checked: Callable[[], Checked], now: datetime) -> Response:
    try:
        event = checked()
    except InvalidEvent as error:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, error.field or "body", error.detail
        ) from None
    [event_id] = await _publish(request, [event], now)
    return _accepted({"event_id": event_id})


async def _ingest_batch(
    request: Request, checked: Sequence[Checked | InvalidEvent], now: datetime
) -> Response:
    events = [each for each in checked if not isinstance(each, InvalidEvent)]
    items = [_item(index, each) for index, each in enumerate(checked)]
    rejected = len(items) - len(events)
    if not events:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"none of these events can be used ({rejected}); `items` says why for each",
            members={"accepted": 0, "rejected": rejected, "items": items},
        )
    event_ids = iter(await _publish(request, events, now))
    for item, each in zip(items, checked, strict=True):
        if not isinstance(each, InvalidEvent):
            item["event_id"] = next(event_ids)
    return _accepted({"accepted": len(events), "rejected": rejected, "items": items})


def _one(body: bytes, now: datetime) -> WireEvent:
    try:
        event = decode_wire_event(body)
        if is_canonical(event, latest_occurred_at(now)):
            return event
    except (ValidationError, DecodeError, UnicodeDecodeError):
        pass
    try:
        return explain_new_event(body, received_at=now)
    except InvalidEvent as error:
        raise cloud_events.misplaced(body, error) from None


def _batch(body: bytes, now: datetime) -> Sequence[WireEvent | InvalidEvent]:
    latest = latest_occurred_at(now)
    try:
        events = _decode_batch(body)
        if all(is_canonical(event, latest) for event in events):
            return events
    except (ValidationError, DecodeError, UnicodeDecodeError):
        pass
    # Each by its own bytes: parsed and written again, metadata would lose digits.
    return [_explained(bytes(item), now) for item in _split_batch(body)]


def _explained(item: bytes, now: datetime) -> WireEvent | InvalidEvent:
    try:
        return explain_new_event(item, received_at=now)
    except InvalidEvent as error:
        return cloud_events.misplaced(item, error)


def _item(index: int, checked: Checked | InvalidEvent) -> dict[str, object]:
    if isinstance(checked, InvalidEvent):
        return {
            "index": index,
            "status": "rejected",
            "error": {"field": checked.field, "detail": checked.detail},
        }
    return {"index": index, "status": "accepted", "event_id": None}


def _accepted(document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), HTTPStatus.ACCEPTED, media_type="application/json")


async def _publish(request: Request, events: Sequence[Checked], now: datetime) -> list[str]:
    """Returns the events' ids when Kafka has all of them."""
    arrived = canonical_time(now)
    messages = []
    event_ids = []
    for each in events:
        event = each if isinstance(each, WireEvent) else each.event
        if event.event_id is None:
            event.event_id = str(uuid7())
        event_ids.append(event.event_id)
        if event.occurred_at is None:
            event.occurred_at = arrived
        topic = topic_for(event.event_type)
        if isinstance(each, WireEvent):
            key = event_key(topic, event.event_id, event.user_id).encode()
            messages.append(Message(topic.name, key, encode_wire_event(event)))
        else:
            messages.append(cloud_events.message(each, topic))
    try:
        await publisher(request).publish(messages)
    except KafkaUnavailable as error:
        raise unavailable(
            f"{error}; send the same events again with these event_ids, they count once",
            event_ids=event_ids,
        ) from None
    return event_ids
