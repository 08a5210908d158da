"""The account at Stripe: each call once, and its failure in the vocabulary of the workers."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from schemas.billing import identifier_of
from schemas.limits import MAX_NAME_CHARACTERS
from schemas.tracing import span
from streams.billing.reports import Report
from streams.billing.subscriptions import metadata_of
from streams.failures import Invalid, Overloaded, Retryable

if TYPE_CHECKING:
    from stripe import Customer, StripeClient, Subscription

_THERE: Final = "An event already exists with identifier"
"""The only sign of it: the error has no code (measured by others on the live API)."""

_NO_METER: Final = "No active meter found"

_USER: Final = re.compile(rf"^[^\x00-\x1f\x7f]{{1,{MAX_NAME_CHARACTERS}}}$")

_MAX_REASON: Final = 400
_MAX_SUBSCRIPTIONS: Final = 100

_Answer = TypeVar("_Answer")


class KeyRefused(Retryable):
    """Stripe does not take the API key, or not for this."""


class NotPermitted(Retryable):
    """The key may do other things, not this; or what this needs is not set up at Stripe."""


class AnswerLost(Retryable):
    """It may have been done all the same."""


class AnswerKept(Retryable):
    """It may have been done all the same; Stripe gives this answer to the same key for a day."""


@dataclass
class RateLimited(Overloaded):
    """Stripe asks for patience; `after`: so many seconds, where it says so."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A customer: Weir's user, where Stripe knows one, and all subscriptions."""

    customer_id: str
    user_id: str | None
    is_deleted: bool
    subscriptions: Sequence["Subscription"]


class StripeAccount:
    """Every method raises Invalid for what Stripe refuses, Retryable, or Overloaded."""

    def __init__(self, client: "StripeClient") -> None:
        self._client = client

    async def report(self, report: Report, attempt: int) -> None:
        """Reports use; done before is done. `attempt`: after an AnswerKept another one."""
        identifier = identifier_of(report.customer_id, report.report_id)
        try:
            await _answered(
                "meter_events.create",
                self._client.v1.billing.meter_events.create_async(
                    {
                        "event_name": report.meter,
                        "identifier": identifier,
                        "timestamp": report.timestamp,
                        "payload": {
                            "stripe_customer_id": report.customer_id,
                            "value": str(report.value),
                        },
                    },
                    # Rejections that come later name this key, and no identifier.
                    {"idempotency_key": f"{identifier}.{attempt}" if attempt else identifier},
                ),
            )
        except Invalid as refusal:
            if refusal.detail.startswith(_NO_METER):
                raise NotPermitted(
                    f"Stripe has no meter {report.meter}: run `weir stripe setup`"
                ) from None
            if not refusal.detail.startswith(_THERE):
                raise

    async def cancel(self, report: Report, attempt: int) -> None:
        """Takes a report back."""
        identifier = identifier_of(report.customer_id, report.report_id)
        await _answered(
            "meter_event_adjustments.create",
            self._client.v1.billing.meter_event_adjustments.create_async(
                {
                    "event_name": report.meter,
                    "type": "cancel",
                    "cancel": {"identifier": identifier},
                },
                {"idempotency_key": f"{identifier}.cancel.{attempt}"},
            ),
        )

    async def person(self, customer_id: str) -> Person:
        """The customer as it is now."""
        customer: Customer = await _answered(
            "customers.retrieve", self._client.v1.customers.retrieve_async(customer_id)
        )
        if getattr(customer, "deleted", False):
            return Person(customer_id, None, is_deleted=True, subscriptions=())
        found = await _answered(
            "subscriptions.list",
            self._client.v1.subscriptions.list_async(
                {"customer": customer_id, "status": "all", "limit": _MAX_SUBSCRIPTIONS}
            ),
        )
        return Person(
            customer_id,
            user_of(metadata_of(customer)),
            is_deleted=False,
            subscriptions=tuple(found.data),
        )

    async def name_user(self, customer_id: str, user_id: str) -> None:
        """Writes down at Stripe whose customer it is."""
        await _answered(
            "customers.update",
            self._client.v1.customers.update_async(customer_id, {"metadata": {"user_id": user_id}}),
        )

    async def rejections(self, event_id: str) -> list[tuple[str, str]]:
        """What a thin event tells of reports that were not counted: identifier and reason."""
        event = await _answered(
            "events.retrieve", self._client.v2.core.events.retrieve_async(event_id)
        )
        data = event.to_dict().get("data") or {}
        reason = data.get("reason") or {}
        found = []
        for kind in reason.get("error_types") or ():
            for sample in kind.get("sample_errors") or ():
                identifier = (sample.get("request") or {}).get("identifier")
                if isinstance(identifier, str):
                    said = str(sample.get("error_message") or kind.get("code") or "rejected")
                    found.append((identifier, said[:_MAX_REASON]))
        return found


def user_of(metadata: Mapping[str, str]) -> str | None:
    """The user that an object's metadata names; None: none that Weir could have."""
    named = metadata.get("user_id")
    return named if named and _USER.fullmatch(named) else None


async def _answered(name: str, call: Awaitable[_Answer]) -> _Answer:
    import aiohttp
    import stripe

    try:
        with span(f"stripe {name}", "client"):
            return await call
    except stripe.RateLimitError as error:
        raise RateLimited(_seconds(error)) from None
    except stripe.AuthenticationError:
        raise KeyRefused("Stripe refuses the API key") from None
    except stripe.PermissionError:
        raise NotPermitted("the API key has no right to this at Stripe") from None
    except stripe.IdempotencyError:
        raise AnswerKept("Stripe knows the key of another call") from None
    except stripe.InvalidRequestError as error:
        said = str(error.user_message or error)[:_MAX_REASON]
        raise Invalid("refused_by_stripe", said) from None
    except (stripe.APIConnectionError, aiohttp.ClientError, TimeoutError) as error:
        # A body that is cut off is no error of the package's own (16.1.0).
        raise AnswerLost(f"Stripe cannot be reached ({type(error).__name__})") from None
    except stripe.StripeError as error:
        raise AnswerKept(f"Stripe answers {error.http_status}") from None


def _seconds(error: "Exception") -> float | None:
    headers = getattr(error, "headers", None) or {}
    try:
        return float(str(headers.get("Retry-After")))
    except ValueError:
        return None
