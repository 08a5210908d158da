"""Events that were checked, one or several: published, and answered once Kafka has them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field
from uuid_utils import uuid7

from api.analytics import cloud_events
from api.problems import FieldProblem, Problem, field_problem, unavailable
from api.publishing import KafkaUnavailable, Message
from api.state import publisher
from schemas.cloud_events import CloudEvent
from schemas.decoding import InvalidEvent, WireEvent, canonical_time, encode_wire_event
from schemas.metrics.edge import EVENTS_ACCEPTED, EVENTS_REJECTED, EVENTS_UNCONFIRMED
from schemas.metrics.instruments import counter
from schemas.topics import event_key, topic_for

Checked = WireEvent | CloudEvent
"""An event that can be published."""
Way = Literal["http", "cloud_events", "site"]
"""How events come in."""
StoredAs = Callable[[str], str]
"""Gives the id under which an event is stored, by the one that its sender knows it by."""


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


def refuse_count(count: int, most: int) -> None:
    """Raises a 422 Problem for an array of no events, or of more than `most`."""
    if not 1 <= count <= most:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "body",
            f"the body is an array of {count} events; send 1 to {most:d} in one request",
        )


async def publish_one(
    request: Request,
    checked: Callable[[], Checked],
    now: datetime,
    way: Way,
    stored_as: StoredAs | None = None,
) -> Response:
    """Answers with the event's id, whatever it is stored as.

    Raises Problem: 422 for an InvalidEvent of `checked`, 503.
    """
    try:
        event = checked()
    except InvalidEvent as error:
        counter(EVENTS_REJECTED, way).inc()
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, error.field or "body", error.detail
        ) from None
    [event_id] = await _publish(request, [event], now, way, stored_as)
    return _accepted({"event_id": event_id})


async def publish_batch(
    request: Request,
    checked: Sequence[Checked | InvalidEvent],
    now: datetime,
    way: Way,
    stored_as: StoredAs | None = None,
) -> Response:
    """Publishes the good ones, and answers what became of each.

    Raises Problem: 422 when none is good, 503.
    """
    events = [each for each in checked if not isinstance(each, InvalidEvent)]
    items = [_item(index, each) for index, each in enumerate(checked)]
    rejected = len(items) - len(events)
    if rejected:
        counter(EVENTS_REJECTED, way).inc(rejected)
    if not events:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"none of these events can be used ({rejected}); `items` says why for each",
            members={"accepted": 0, "rejected": rejected, "items": items},
        )
    event_ids = iter(await _publish(request, events, now, way, stored_as))
    for item, each in zip(items, checked, strict=True):
        if not isinstance(each, InvalidEvent):
            item["event_id"] = next(event_ids)
    return _accepted({"accepted": len(events), "rejected": rejected, "items": items})


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


async def _publish(
    request: Request,
    events: Sequence[Checked],
    now: datetime,
    way: Way,
    stored_as: StoredAs | None,
) -> list[str]:
    """Returns the events' ids, as their sender may send them again, when Kafka has all of them."""
    arrived = canonical_time(now)
    messages = []
    event_ids = []
    for each in events:
        event = each if isinstance(each, WireEvent) else each.event
        if event.event_id is None:
            event.event_id = str(uuid7())
        event_ids.append(event.event_id)
        if stored_as is not None:
            event.event_id = stored_as(event.event_id)
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
        counter(EVENTS_UNCONFIRMED, way).inc(len(events))
        raise unavailable(
            f"{error}; send the same events again with these event_ids, they count once",
            event_ids=event_ids,
        ) from None
    counter(EVENTS_ACCEPTED, way).inc(len(events))
    return event_ids
