"""Webhook deliveries as Stripe makes them: snapshot and thin events, and their signature."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import time

import orjson
import stripe

from tests.stripe_fake.answers import Json


def signed(payload: bytes, secret: str, at: int) -> str:
    """The Stripe-Signature header of a delivery at `at`, Unix seconds."""
    # The package gives this function no types.
    return str(
        stripe.WebhookSignature.generate_signature_header(payload.decode(), secret, timestamp=at)
    )


def snapshot_event(
    kind: str,
    subject: Mapping[str, Json],
    *,
    event_id: str,
    created: int,
    previous: Mapping[str, Json] | None = None,
) -> bytes:
    """The body of a snapshot event, such as customer.subscription.updated."""
    data: Json = {"object": dict(subject)}
    if previous is not None:
        data["previous_attributes"] = dict(previous)
    return orjson.dumps(
        {
            "id": event_id,
            "object": "event",
            "api_version": stripe.api_version,
            "created": created,
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
    )


def thin_event(
    kind: str, *, event_id: str, related: Mapping[str, str] | None, created: int | None = None
) -> bytes:
    """The body of a thin event, made now unless `created` says when.

    `related` is {id, type, url}, None for an event of no object.
    """
    return orjson.dumps(
        {
            "id": event_id,
            "object": "v2.core.event",
            "type": kind,
            "created": rfc3339(int(time()) if created is None else created),
            "livemode": False,
            "context": None,
            "reason": None,
            "related_object": None if related is None else dict(related),
        }
    )


def meter_errors(errors: Mapping[str, Sequence[tuple[str, str]]], *, until: int) -> Json:
    """`data` of v1.billing.meter.error_report_triggered.

    `errors` has, by error code, pairs of a request's idempotency key and an error message.
    """
    total = sum(map(len, errors.values()))
    return {
        "developer_message_summary": f"There were {total} invalid meter events.",
        "validation_start": rfc3339(until - 10),
        "validation_end": rfc3339(until),
        "reason": {
            "error_count": total,
            "error_types": [
                {
                    "code": code,
                    "error_count": len(samples),
                    "sample_errors": [
                        {"error_message": message, "request": {"identifier": identifier}}
                        for identifier, message in samples
                    ],
                }
                for code, samples in errors.items()
            ],
        },
    }


def meter_reference(meter_id: str) -> dict[str, str]:
    return {
        "id": meter_id,
        "type": "billing.meter",
        "url": f"/v1/billing/meters/{meter_id}",
    }


def rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
