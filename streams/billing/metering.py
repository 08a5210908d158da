"""What an event uses of the meters, and whose use it is: pure."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from schemas.billing import CUSTOMER_PATTERN, UsageCounted, report_id_for
from schemas.decoding import WireEvent
from schemas.metadata_members import CUSTOMER, SITE
from schemas.meters import Meter, Meters
from schemas.quotas import LATEST_MOMENT
from streams.failures import Invalid

_CUSTOMER: Final = re.compile(CUSTOMER_PATTERN)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def usage_of(event: WireEvent, arrived_at: datetime, meters: Meters) -> Iterator[UsageCounted]:
    """The use of each meter that the event counts for. Raises Invalid for a value that is none.

    Nothing when it names neither a customer nor a user: it is nobody's. Nothing either of what a
    page sent: whoever loads the page could bill anybody.
    """
    counting = meters.of(event.event_type)
    if not counting:
        return
    metadata = orjson.loads(bytes(event.metadata))
    if SITE in metadata:
        return
    customer = _customer(metadata)
    if customer is None and event.user_id is None:
        return
    user_id = event.user_id
    if user_id is not None and _CONTROL.search(user_id):
        if customer is None:
            raise Invalid(
                "invalid_field", "user_id: whom use is billed to has no control characters"
            )
        user_id = None
    occurred_at = _moment(event.occurred_at, arrived_at)
    event_id = UUID(event.event_id)
    for meter in counting:
        if value := _value(meter, metadata):
            yield UsageCounted(
                report_id=report_id_for(event_id, meter.name),
                event_id=event_id,
                meter=meter.name,
                value=value,
                occurred_at=occurred_at,
                user_id=user_id,
                customer_id=customer,
            )


def _customer(metadata: dict[str, object]) -> str | None:
    named = metadata.get(CUSTOMER)
    if named is None:
        return None
    if not isinstance(named, str) or not _CUSTOMER.fullmatch(named):
        raise Invalid("invalid_field", f"metadata.{CUSTOMER}: must be Stripe's id, like cus_…")
    return named


def _value(meter: Meter, metadata: dict[str, object]) -> int:
    value = metadata.get(meter.value) if meter.value else None
    if value is None:
        return 1
    field = f"metadata.{meter.value}"
    # JSON's true is a number to Python.
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(
            "invalid_value", f"{field}: must be a whole number, which {meter.name} counts"
        )
    if value < 0:
        raise Invalid("invalid_value", f"{field}: must not be negative")
    if value > meter.most:
        raise Invalid("invalid_value", f"{field}: is more than the {meter.most} of one event")
    return value


def _moment(text: str | None, arrived_at: datetime) -> datetime:
    if text is None:
        return arrived_at
    return min(datetime.fromisoformat(text).astimezone(UTC), LATEST_MOMENT)
