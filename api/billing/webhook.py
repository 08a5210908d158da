"""`POST /stripe/webhook`: Stripe says that something happened, and Kafka keeps it."""

from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from api.billing.desk import BillingDesk
from api.billing.signatures import (
    Delivery,
    NotSigned,
    Replayed,
    TooManyDeliveries,
    check_signature,
)
from api.billing.stripe_events import event_of
from api.bodies import headers_of, receive_body
from api.identity.access import PUBLIC
from api.problems import documented, field_problem, unavailable
from api.publishing import KafkaUnavailable, Message
from api.state import billing, now, publisher
from schemas.billing import StripeEvent
from schemas.topics import STRIPE_EVENTS

WEBHOOK: Final = "/stripe/webhook"
SIGNATURE: Final = "Stripe-Signature"
MAX_BODY_BYTES: Final = 262_144
"""Stripe's events are a few KB; those with a long invoice some dozen."""

_TOO_LARGE: Final = f"the body is larger than {MAX_BODY_BYTES} bytes, which no event of Stripe is"
_UNCONFIGURED_SECONDS: Final = 60.0

# Who signs has the secret: no other credentials are asked for.
router = APIRouter(tags=["billing"], dependencies=[PUBLIC])


class Received(BaseModel):
    """The event was taken."""

    received: bool
    ignored: Annotated[
        bool, Field(description="Nothing here acts on events of this type; absent otherwise.")
    ] = False


async def _documented_signature(
    stripe_signature: Annotated[
        str | None,
        Header(
            alias=SIGNATURE,
            description="`t=<epoch seconds>,v1=<HMAC-SHA256 of t.body, hexadecimal>`, as Stripe "
            "makes it with the endpoint's signing secret.",
        ),
    ] = None,
) -> None:
    """For the document alone: the route looks at the header as it was sent."""


@router.post(
    WEBHOOK,
    summary="Take an event of Stripe",
    response_model=Received,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    dependencies=[Depends(_documented_signature)],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def take_event(request: Request) -> Response:
    """For Stripe alone: snapshot and thin events, signed, each delivery once.

    200 once Kafka has it. 400 for a signature that does not hold, is older than five minutes or
    was used before. After a 503 Stripe sends it again.
    """
    desk = billing(request)
    if not desk.webhook_secrets:
        raise unavailable(
            "nobody can tell yet what is Stripe's: set STRIPE_WEBHOOK_SECRET to the signing secret "
            "of the endpoint (whsec_…), and start the API again",
            retry_after=_UNCONFIGURED_SECONDS,
        )
    headers = headers_of(request)
    body = await receive_body(request, headers, most=MAX_BODY_BYTES, too_large=_TOO_LARGE)
    moment = now(request)
    delivery = _checked(request, body, desk)
    try:
        with desk.deliveries.taken(delivery, moment):
            event = event_of(body, delivery.signed_at)
            if event is not None:
                await publisher(request).publish([_message(event)])
    except Replayed:
        raise field_problem(
            HTTPStatus.BAD_REQUEST,
            SIGNATURE,
            f"{SIGNATURE} was used before; each delivery has one of its own",
        ) from None
    except TooManyDeliveries:
        raise unavailable("too many events at once; send it again in some minutes") from None
    except KafkaUnavailable as error:
        raise unavailable(f"{error}; send it again") from None
    return _answer(ignored=event is None)


def _checked(request: Request, body: bytes, desk: BillingDesk) -> Delivery:
    """Raises a 400 Problem for a signature that does not hold."""
    given = [value for name, value in request.scope["headers"] if name == b"stripe-signature"]
    if len(given) != 1:
        said = "is required" if not given else "is given twice; give it once"
        raise field_problem(HTTPStatus.BAD_REQUEST, SIGNATURE, f"{SIGNATURE} {said}")
    try:
        return check_signature(body, given[0], desk.webhook_secrets, now(request))
    except NotSigned as error:
        desk.refusals.note(f"{SIGNATURE}: {error}")
        raise field_problem(
            HTTPStatus.BAD_REQUEST, SIGNATURE, f"{SIGNATURE} does not hold: {error}"
        ) from None


def _message(event: StripeEvent) -> Message:
    key = event.customer_id or event.event_id
    return Message(STRIPE_EVENTS.name, key.encode(), event.model_dump_json().encode())


def _answer(*, ignored: bool) -> Response:
    document = {"received": True, "ignored": True} if ignored else {"received": True}
    return Response(orjson.dumps(document), media_type="application/json")
