"""Opens sessions of Stripe's own pages, and says as a problem why none could be opened.

No message of Stripe's is passed on or logged: it may hold a part of the key, or name a customer.
Its code and the id of the request, which the operator finds in Stripe's dashboard, are logged.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from http import HTTPStatus
from typing import Final

import stripe
import structlog
from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

from api.billing.desk import NoPrice, UnknownCustomer
from api.problems import Problem, unavailable
from schemas.meters import Meter
from schemas.plans import Plan

log = structlog.get_logger()

SECONDS: Final = 10.0
"""So long may Stripe take to open a session, all calls for it together."""

_RETRY_SECONDS: Final = 5.0
_MAX_REFERENCE: Final = 200
"""Characters that Stripe takes of a `client_reference_id`."""

_KEYS_AT_ONCE: Final = 10

_AWAY: Final = "Stripe cannot be reached, or is overloaded; try again in a moment"


class StripeSessions:
    """Opens sessions; each method raises a Problem, 502 or 503, when Stripe does not."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def portal(self, user_id: str, customer_id: str, return_url: str) -> str:
        """The URL of a page where a user manages what they pay. Raises UnknownCustomer."""
        async with _asking():
            await self._refuse_anothers(user_id, customer_id)
            session = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}
            )
            return _url_of(session.url)

    async def checkout(
        self,
        user_id: str,
        customer_id: str | None,
        plan: Plan,
        meters: Sequence[Meter],
        return_url: str,
    ) -> str:
        """The URL of a page where a user subscribes to a plan. Raises UnknownCustomer, NoPrice.

        The prices of the meters come with it, where Stripe has them: only what a subscription
        holds is invoiced.
        """
        async with _asking():
            price = (await self._prices([plan.lookup_key])).get(plan.lookup_key)
            if price is None:
                raise NoPrice
            if customer_id is None:
                customer_id = await self._new_customer(user_id)
            else:
                await self._refuse_anothers(user_id, customer_id)
            metered = await self._prices([each.lookup_key for each in meters])
            items: list[SessionCreateParamsLineItem] = [{"price": price, "quantity": 1}]
            # Use has no quantity: the meter counts it.
            items += [{"price": each} for each in metered.values()]
            params: SessionCreateParams = {
                "mode": "subscription",
                "line_items": items,
                "customer": customer_id,
                "success_url": f"{return_url}?checkout=success",
                "cancel_url": f"{return_url}?checkout=cancelled",
                # Whichever of them a webhook shows: each names the user.
                "metadata": {"user_id": user_id},
                "subscription_data": {"metadata": {"user_id": user_id}},
            }
            if len(user_id) <= _MAX_REFERENCE:
                params["client_reference_id"] = user_id
            session = await self._client.v1.checkout.sessions.create_async(params)
            return _url_of(session.url)

    async def _new_customer(self, user_id: str) -> str:
        """The customer of a user who has none: for a day the same one, however often it is asked.

        Two pages that are open at once would make two customers, who both pay.
        """
        created = await self._client.v1.customers.create_async(
            {"metadata": {"user_id": user_id}},
            {"idempotency_key": f"weir-customer-{sha256(user_id.encode()).hexdigest()}"},
        )
        return created.id

    async def _refuse_anothers(self, user_id: str, customer_id: str) -> None:
        """Raises UnknownCustomer when Stripe says that it is deleted, or somebody else."""
        try:
            customer = await self._client.v1.customers.retrieve_async(customer_id)
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise UnknownCustomer from None
            raise
        metadata = getattr(customer, "metadata", None)
        named = {} if metadata is None else metadata.to_dict()
        if getattr(customer, "deleted", False) or named.get("user_id", user_id) != user_id:
            raise UnknownCustomer

    async def _prices(self, lookup_keys: list[str]) -> dict[str, str]:
        """Lookup key → id of the price, for those that Stripe has; it takes 10 in one question."""
        found: dict[str, str] = {}
        for start in range(0, len(lookup_keys), _KEYS_AT_ONCE):
            prices = await self._client.v1.prices.list_async(
                {"lookup_keys": lookup_keys[start : start + _KEYS_AT_ONCE], "active": True}
            )
            found |= {each.lookup_key: each.id for each in prices.data if each.lookup_key}
        return found


def _url_of(url: str | None) -> str:
    if not url:
        raise _refused("no_url", None)
    return url


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise unavailable(_AWAY, retry_after=_RETRY_SECONDS) from None
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing" and error.param == "customer":
            raise UnknownCustomer from None
        raise _refused(error.code or error.param, error.request_id) from None
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # Without a traceback, which has Stripe's message.
        log.error(  # noqa: TRY400
            "Stripe refuses STRIPE_API_KEY",
            alarm=True,
            kind=type(error).__name__,
            request_id=error.request_id,
        )
        raise unavailable(
            "Stripe refuses the key in STRIPE_API_KEY; whoever runs this Weir must set one that "
            "may do this",
            retry_after=60.0,
        ) from None
    except (stripe.RateLimitError, stripe.APIConnectionError, stripe.APIError) as error:
        log.warning("Stripe did not answer", kind=type(error).__name__, request_id=error.request_id)
        raise unavailable(_AWAY, retry_after=_RETRY_SECONDS) from None
    except stripe.StripeError as error:
        raise _refused(error.code or type(error).__name__, error.request_id) from None


def _refused(code: str | None, request_id: str | None) -> Problem:
    log.error("Stripe refused to open a session", code=code, request_id=request_id)
    return Problem(
        HTTPStatus.BAD_GATEWAY,
        "Stripe refused to open its page; whoever runs this Weir finds why in its log",
    )
