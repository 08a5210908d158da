"""What Stripe has counted of a customer's use: a sum of a span, and sums by the hour."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from deploy.billing.account_setup import all_meters
from deploy.billing.stripe_calls import StripeRefused, asked, is_missing
from schemas.meters import Meter

if TYPE_CHECKING:
    from stripe import ListObject, StripeClient
    from stripe.billing import MeterEventSummary
    from stripe.params.billing import MeterListEventSummariesParams

AT_ONCE: Final = 10
"""Calls at once: a key for tests gets 25 answers a second (Stripe's documentation)."""

_PAGE: Final = 100


class StripeTotals:
    """Asks about the meters of one account. Raises as `asked` does."""

    def __init__(self, client: "StripeClient", ids: Mapping[str, str]) -> None:
        self._client = client
        self._ids = ids
        self._free = asyncio.Semaphore(AT_ONCE)

    async def sum(self, meter: Meter, customer: str, start: datetime, end: datetime) -> int | None:
        """Units from `start` to, not with, `end`: whole hours. None: there is no such customer."""
        found = await self._summaries(meter, customer, start, end, by_hour=False)
        return None if found is None else sum(_units(each) for each in found)

    async def hours(
        self, meter: Meter, customer: str, start: datetime, end: datetime
    ) -> dict[datetime, int] | None:
        """Units by the hour's start, those without left out. None: there is no such customer."""
        found = await self._summaries(meter, customer, start, end, by_hour=True)
        if found is None:
            return None
        return {
            datetime.fromtimestamp(each.start_time, UTC): _units(each)
            for each in found
            if _units(each)
        }

    async def knows(self, customer: str) -> bool:
        """Whether the account has this customer, and it is not deleted."""
        import stripe

        async def call() -> bool:
            try:
                found = await self._client.v1.customers.retrieve_async(customer)
            except stripe.InvalidRequestError as error:
                if is_missing(error):
                    return False
                raise
            # Stripe gives what it has deleted too, with this member.
            return not getattr(found, "deleted", False)

        async with self._free:
            return await asked(call)

    async def _summaries(
        self, meter: Meter, customer: str, start: datetime, end: datetime, *, by_hour: bool
    ) -> "list[MeterEventSummary] | None":
        params: MeterListEventSummariesParams = {
            "customer": customer,
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()),
            "limit": _PAGE,
        }
        if by_hour:
            params["value_grouping_window"] = "hour"
        found: list[MeterEventSummary] = []
        while True:
            page = await self._page(meter, params)
            if page is None:
                return None
            found += page.data
            if not page.has_more:
                return found
            params["starting_after"] = found[-1].id

    async def _page(
        self, meter: Meter, params: "MeterListEventSummariesParams"
    ) -> "ListObject[MeterEventSummary] | None":
        """None: Stripe has no such customer."""
        import stripe

        async def call() -> "ListObject[MeterEventSummary] | None":
            try:
                return await self._client.v1.billing.meters.event_summaries.list_async(
                    self._ids[meter.name], params
                )
            except stripe.InvalidRequestError as error:
                if is_missing(error) and error.param == "customer":
                    return None
                raise

        async with self._free:
            return await asked(call)


async def totals_of(client: "StripeClient", meters: Mapping[str, Meter]) -> StripeTotals:
    """For these meters, found by their event_name. Raises StripeRefused when one is not there."""
    ids = {each.event_name: each.id for each in await all_meters(client) if each.status == "active"}
    if missing := sorted(meters.keys() - ids.keys()):
        raise StripeRefused(
            f"Stripe has no active meter {', '.join(missing)}; run `weir stripe setup`"
        )
    return StripeTotals(client, ids)


def _units(summary: "MeterEventSummary") -> int:
    # Whole numbers alone are reported; what others report beside Weir is cut to one.
    return int(summary.aggregated_value)
