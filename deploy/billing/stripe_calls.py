"""One call to Stripe for a command: tried again where it may help, its errors as sentences."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from deploy.access_log.shown import shown

if TYPE_CHECKING:
    from stripe import StripeError

TRIES: Final = 6
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 10.0
"""Seconds between tries; the wait doubles from the first."""

_Result = TypeVar("_Result")


class StripeRefused(Exception):
    """Stripe will not do it, now or later; the message says what to do. It holds no key."""


class StripeAway(Exception):
    """Stripe cannot be reached, or does not answer now."""


class NotStripe(Exception):
    """What answers is not Stripe."""


async def asked(call: Callable[[], Awaitable[_Result]]) -> _Result:
    """What the call gives. Raises StripeRefused, StripeAway or NotStripe.

    The package tries nothing again here (`opened_stripe`), and never after a 429. Posts need an
    Idempotency-Key of their own: the same call may come twice.
    """
    import stripe

    wait = FIRST_WAIT
    for left in reversed(range(TRIES)):
        try:
            return await call()
        except stripe.StripeError as error:
            if not _may_help(error):
                raise _refusal(error) from None
            if not left:
                raise StripeAway(_away(error)) from None
            await asyncio.sleep(min(max(wait, _asked_to_wait(error)), LONGEST_WAIT))
            wait *= 2
    raise AssertionError("TRIES is at least 1")


def is_missing(error: "StripeError") -> bool:
    """Whether Stripe says that there is no object of this id."""
    return error.code == "resource_missing" or error.http_status == 404


def _may_help(error: "StripeError") -> bool:
    import stripe

    status = error.http_status or 0
    return isinstance(error, stripe.APIConnectionError) or status in {409, 429} or status >= 500


def _asked_to_wait(error: "StripeError") -> float:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    try:
        return float(headers.get("retry-after", 0))
    except ValueError:
        return 0.0


def _away(error: "StripeError") -> str:
    status = error.http_status
    if status == 429:
        return "Stripe says that it is asked too often"
    what = type(error).__name__ if status is None else f"status {status}"
    return f"Stripe does not answer ({what}); check the network, or STRIPE_API_BASE where it is set"


def _refusal(error: "StripeError") -> Exception:
    import stripe

    if isinstance(error, stripe.AuthenticationError):
        return StripeRefused(
            "Stripe does not take the key of STRIPE_API_KEY; copy it anew from Stripe's "
            "dashboard, Developers, API keys"
        )
    if isinstance(error, stripe.PermissionError):
        return StripeRefused(
            "the key of STRIPE_API_KEY may not do this; give the restricted key the permission "
            "to write meters, products and prices and to read customers and meter event summaries"
        )
    if error.json_body is None:
        return NotStripe("what answers is not Stripe; check STRIPE_API_BASE")
    return StripeRefused(f"Stripe says: {shown(error.user_message or error.code or 'no reason')}")
