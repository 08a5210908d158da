"""Which plan a customer's subscriptions pay for, and in which period: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from schemas.billing import PAYING
from schemas.plans import Catalogue, Plan
from schemas.quotas import Period

if TYPE_CHECKING:
    from stripe import Customer, Price, Subscription

PLAN: Final = "weir_plan"
"""The member of a price's metadata that names a plan, for prices of the operator's own."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The plan that is paid for; without a subscription the default one, by calendar months."""

    plan: str
    subscription_id: str = ""
    status: str = ""
    period: Period | None = None


def subscribed(subscriptions: Iterable["Subscription"], catalogue: Catalogue) -> Subscribed:
    """What they come to: of several that pay for plans the one with the highest limit.

    What does not pay says only how it stands.
    """
    paying: list[tuple[int, int, Subscribed]] = []
    other: list[tuple[int, Subscribed]] = []
    for each in subscriptions:
        is_paying = each.status in PAYING
        for item in each["items"].data:
            plan = plan_of(item.price, catalogue)
            if plan is None:
                continue
            if is_paying:
                period = Period(
                    start=_moment(item.current_period_start), end=_moment(item.current_period_end)
                )
                found = Subscribed(plan.name, each.id, each.status, period)
                paying.append((plan.limit, each.created, found))
            else:
                found = Subscribed(catalogue.default, each.id, each.status)
                other.append((each.created, found))
    if paying:
        return max(paying, key=lambda it: it[:2])[2]
    if other:
        return max(other, key=lambda it: it[0])[1]
    return Subscribed(catalogue.default)


def plan_of(price: "Price", catalogue: Catalogue) -> Plan | None:
    """The plan that a price is of; None: it is of something else."""
    by_key = {plan.lookup_key: plan for plan in catalogue.plans.values()}
    if price.lookup_key and (plan := by_key.get(price.lookup_key)):
        return plan
    named = metadata_of(price).get(PLAN)
    return catalogue.plan(named) if named else None


def metadata_of(thing: "Price | Subscription | Customer") -> dict[str, str]:
    """The metadata of an object of Stripe's; the package's own type is opaque."""
    metadata = getattr(thing, "metadata", None)
    return {} if metadata is None else dict(metadata.to_dict())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
