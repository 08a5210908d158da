"""`POST /analytics/events`: validate, name, publish; acknowledge when Kafka has it."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder
from pydantic import BaseModel

from api.analytics import cloud_events
from api.analytics.cloud_events import Form
from api.analytics.publishing_events import (
    Accepted,
    BatchResult,
    publish_batch,
    publish_one,
    refuse_count,
)
from api.analytics.reserved_metadata import refuse_reserved
from api.bodies import headers_of, parse_json, read_body
from api.identity.access import Access, declared
from api.identity.principal import Role
from api.problems import documented
from api.state import clock
from schemas.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE
from schemas.decoding import (
    InvalidEvent,
    WireEvent,
    decode_wire_event,
    explain_new_event,
    is_canonical,
    latest_occurred_at,
)
from schemas.events import NewEvent
from schemas.json_schemas import CloudEventDocument
from schemas.limits import MAX_EVENTS_PER_REQUEST
from schemas.metadata_members import may_name_site

log = structlog.get_logger()

ACCESS: Final = Access([Role.PRODUCER])

router = APIRouter(tags=["analytics"], dependencies=[declared(ACCESS)])

_decode_batch: Final = Decoder(list[WireEvent]).decode
_split_batch: Final = Decoder(list[Raw]).decode


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
        return await publish_one(
            request, lambda: cloud_events.binary_event(request, body, now), now, "cloud_events"
        )
    value = parse_json(body)
    if form is not Form.PLAIN:
        return await _ingest_cloud_events(request, form, body, value, now)
    if isinstance(value, list):
        refuse_count(len(value), MAX_EVENTS_PER_REQUEST)
        return await publish_batch(request, _batch(body, now), now, "http")
    return await publish_one(request, lambda: _one(body, now), now, "http")


async def _ingest_cloud_events(
    request: Request, form: Form, body: bytes, value: object, now: datetime
) -> Response:
    cloud_events.refuse_other_form(form, is_array=isinstance(value, list))
    if isinstance(value, list):
        refuse_count(len(value), MAX_EVENTS_PER_REQUEST)
        events = cloud_events.batch_events(body, now)
        return await publish_batch(request, events, now, "cloud_events")
    return await publish_one(
        request, lambda: cloud_events.structured_event(body, now), now, "cloud_events"
    )


def _one(body: bytes, now: datetime) -> WireEvent:
    event = _decoded(body, now)
    if may_name_site(body):
        refuse_reserved(event)
    return event


def _decoded(body: bytes, now: datetime) -> WireEvent:
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
            # Once for all of them: for each it would cost as much as all other checks.
            return [_or_why_not(event) for event in events] if may_name_site(body) else events
    except (ValidationError, DecodeError, UnicodeDecodeError):
        pass
    # Each by its own bytes: parsed and written again, metadata would lose digits.
    return [_explained(bytes(item), now) for item in _split_batch(body)]


def _explained(item: bytes, now: datetime) -> WireEvent | InvalidEvent:
    try:
        event = explain_new_event(item, received_at=now)
    except InvalidEvent as error:
        return cloud_events.misplaced(item, error)
    return _or_why_not(event)


def _or_why_not(event: WireEvent) -> WireEvent | InvalidEvent:
    try:
        refuse_reserved(event)
    except InvalidEvent as error:
        return error
    return event
