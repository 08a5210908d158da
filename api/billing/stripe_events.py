"""From the body of a webhook to what of it goes to Kafka: ids, and nothing about a person."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from api.problems import Problem, field_problem
from schemas.billing import CustomerId, StripeEvent
from schemas.quotas import AccountUser, Moment

_CUSTOMER_EVENTS: Final = "customer."
_OTHER_EVENTS: Final = frozenset(
    {
        "invoice.paid",
        "invoice.payment_failed",
        "checkout.session.completed",
        "v1.billing.meter.error_report_triggered",
        "v1.billing.meter.no_meter_found",
        "entitlements.active_entitlement_summary.updated",
    }
)
_MAX_TYPE: Final = 100
_SNAPSHOT: Final = "event"
_THIN: Final = "v2.core.event"

# Where objects name the user, the surest first.
_PATHS_OF_METADATA: Final = (
    ("metadata",),
    ("subscription_details", "metadata"),
    ("parent", "subscription_details", "metadata"),
)

_customer_id: Final[TypeAdapter[str]] = TypeAdapter(CustomerId)
_user_id: Final[TypeAdapter[str]] = TypeAdapter(AccountUser)
_moment: Final[TypeAdapter[datetime]] = TypeAdapter(Moment)


def event_of(body: bytes, signed_at: datetime) -> StripeEvent | None:
    """What a delivery tells; None: nothing that billing acts on.

    `signed_at` is when it happened where the delivery does not say. Raises Problem: 400.
    """
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        said = f"is not JSON: {error}" if body else "is empty"
        raise _refused("body", f"the body {said}; send an event of Stripe") from None
    if not isinstance(document, dict):
        raise _refused("body", "the body must be a JSON object, an event of Stripe")
    shape = document.get("object")
    if shape not in (_SNAPSHOT, _THIN):
        raise _refused("object", f"object must be {_SNAPSHOT!r} or {_THIN!r}, as Stripe's are")
    kind = document.get("type")
    if not isinstance(kind, str) or not kind:
        raise _refused("type", "type is required, the name of what happened")
    thin = shape == _THIN
    subject = _at(document, "related_object") if thin else _at(document, "data", "object")
    try:
        event = StripeEvent(
            event_id=document["id"],
            type=kind[:_MAX_TYPE],
            created=_created(document.get("created"), signed_at),
            thin=thin,
            customer_id=_related_customer(subject) if thin else _customer(subject),
            user_id=None if thin else _user(subject),
        )
    except (KeyError, ValidationError):
        raise _refused("id", "id is required, the event's own, as evt_…") from None
    return event if _acted_on(kind) else None


def _acted_on(kind: str) -> bool:
    return kind in _OTHER_EVENTS or (kind.startswith(_CUSTOMER_EVENTS) and len(kind) <= _MAX_TYPE)


def _refused(field: str, detail: str) -> Problem:
    return field_problem(HTTPStatus.BAD_REQUEST, field, detail)


def _at(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _usable(adapter: TypeAdapter[str], value: object) -> str | None:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None


def _created(value: object, otherwise: datetime) -> datetime:
    """Snapshots have epoch seconds, thin events RFC 3339."""
    try:
        if isinstance(value, int):
            value = datetime.fromtimestamp(value, UTC)
        return _moment.validate_python(value)
    except (ValidationError, ValueError, OverflowError, OSError):
        return otherwise


def _customer(subject: object) -> str | None:
    if _at(subject, "object") == "customer":
        return _usable(_customer_id, _at(subject, "id"))
    named = _at(subject, "customer")
    # Expanded: the customer itself in the place of its id.
    return _usable(_customer_id, _at(named, "id") if isinstance(named, dict) else named)


def _related_customer(related: object) -> str | None:
    is_customer = _at(related, "type") == "customer"
    return _usable(_customer_id, _at(related, "id")) if is_customer else None


def _user(subject: object) -> str | None:
    reference = (
        _at(subject, "client_reference_id")
        if _at(subject, "object") == "checkout.session"
        else None
    )
    named = [_at(subject, *path, "user_id") for path in _PATHS_OF_METADATA]
    for value in (named[0], reference, *named[1:]):
        if (user_id := _usable(_user_id, value)) is not None:
            return user_id
    return None
