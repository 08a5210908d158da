"""POST /v1/billing/meter_events: what was sent, the lock of its meter, what is answered."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from stripe import RequestOptions
from stripe.params.billing._meter_event_create_params import MeterEventCreateParams

from tests.stripe_fake.answers import Answer, Refused
from tests.stripe_fake.metering import MeterEvent

METER_EVENTS: Final = "/v1/billing/meter_events"
# More digits are meter_event_value_too_many_digits.
WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,15}")
# Those of the package's type, as sent: `payload` has keys of its own.
NAMES: Final = (
    set(MeterEventCreateParams.__annotations__)
    - set(RequestOptions.__annotations__)
    - {"payload", "expand"}
)
REQUIRED: Final = ("event_name", "payload[stripe_customer_id]", "payload[value]")

_generated = count(1)


def event_of(sent: str, now: float) -> MeterEvent:
    """Reads a form by hand, as benches send very many; raises Refused."""
    given = dict(parse_qsl(sent, keep_blank_values=True))
    for name in REQUIRED:
        if not given.get(name):
            raise Refused(f"Missing required param: {name}.", code="parameter_missing", param=name)
    for name in given.keys() - NAMES:
        if not name.startswith("payload["):
            raise Refused(
                f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
    value = given["payload[value]"]
    if not WHOLE_NUMBER.fullmatch(value):
        raise Refused(
            f"Invalid value: {value} is not a whole number.",
            code="meter_event_invalid_value",
            param="payload[value]",
        )
    timestamp = given.get("timestamp")
    if timestamp is not None and not WHOLE_NUMBER.fullmatch(timestamp):
        raise Refused(f"Invalid integer: {timestamp}", param="timestamp")
    return MeterEvent(
        customer=given["payload[stripe_customer_id]"],
        event_name=given["event_name"],
        timestamp=int(now) if timestamp is None else int(timestamp),
        value=int(value),
        identifier=given.get("identifier") or f"generated_{next(_generated)}",
        received=now,
    )


def answer_to(event: MeterEvent) -> Answer:
    return Answer(
        200,
        orjson.dumps(
            {
                "object": "billing.meter_event",
                "created": int(event.received),
                "event_name": event.event_name,
                "identifier": event.identifier,
                "livemode": False,
                "payload": {"stripe_customer_id": event.customer, "value": str(event.value)},
                "timestamp": event.timestamp,
            }
        ),
    )


class Locks:
    """One call at a time for each customer and meter.

    `overlaps` counts calls made while another, whose caller still waited, was being worked on;
    `abandoned` those whose first caller had left, which a caller with a time limit cannot avoid.
    """

    def __init__(self) -> None:
        self.overlaps = 0
        self.abandoned = 0
        self.most_at_once = 0
        self._working: dict[tuple[str, str], tuple[web.Request, str]] = {}

    @property
    def left(self) -> int:
        """Calls that are still worked on though their callers left."""
        return sum(request.transport is None for request, _ in self._working.values())

    @contextmanager
    def held(self, event: MeterEvent, request: web.Request, key: str) -> Iterator[None]:
        """Raises Refused: 429 when locked, 409 when by a call with the same idempotency key."""
        pair = (event.customer, event.event_name)
        if pair in self._working:
            first, first_key = self._working[pair]
            if first.transport is None:
                self.abandoned += 1
            else:
                self.overlaps += 1
            raise in_use(key) if key and key == first_key else locked()
        self._working[pair] = (request, key)
        self.most_at_once = max(self.most_at_once, len(self._working))
        try:
            yield
        finally:
            del self._working[pair]


def locked() -> Refused:
    return Refused(
        "This object cannot be accessed right now because another API request is currently "
        "accessing it.",
        status=429,
        code="lock_timeout",
    )


def in_use(key: str) -> Refused:
    return Refused(
        f"There is currently another in-progress request using this Idempotent Key: {key}.",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )
