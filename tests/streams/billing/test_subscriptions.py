"""Stripe's final state decides the plan, in whatever order and how often its events come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from typing import Final
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from schemas.billing import StripeCustomer
from schemas.plans import read_catalogue
from schemas.quotas import PlanChanged
from streams.billing.subscriptions import Subscribed, subscribed
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, staged
from tests.stripe_fake import FakeStripe
from tests.weir import Json

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
CATALOGUE: Final = read_catalogue()
PAYING: Final = ("trialing", "active", "past_due")
OTHER: Final = ("incomplete", "incomplete_expired", "canceled", "unpaid", "paused")
TYPES: Final = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.paused",
    "customer.subscription.deleted",
    "invoice.paid",
    "invoice.payment_failed",
)


def a_subscription(status: str, plan: str, **more: Json) -> Json:
    start = int((datetime.now(UTC) - timedelta(days=3)).timestamp())
    return {
        "id": f"sub_{uuid4().hex[:14]}",
        "status": status,
        "prices": [{"id": f"price_{plan}", "lookup_key": f"weir_{plan}_monthly"}],
        "current_period_start": start,
        "current_period_end": start + 30 * 86_400,
        **more,
    }


def decided(*subscriptions: Json) -> Subscribed:
    """As the package reads what the fake shows."""
    import stripe

    fake = FakeStripe()
    shown = [
        stripe.Subscription.construct_from(
            fake.objects.put_subscription({"customer": "cus_1", **each}), None
        )
        for each in subscriptions
    ]
    return subscribed(shown, CATALOGUE)


@pytest.mark.parametrize("status", PAYING)
def test_a_subscription_that_is_paid_for_gives_its_plan_and_its_period(status: str) -> None:
    given_one = a_subscription(status, "pro")
    found = decided(given_one)
    assert (found.plan, found.status) == ("pro", status)
    assert found.period is not None
    assert found.period.start.timestamp() == given_one["current_period_start"]
    assert found.period.end.timestamp() == given_one["current_period_end"]


@pytest.mark.parametrize("status", OTHER)
def test_one_that_is_not_paid_for_gives_the_default_plan(status: str) -> None:
    found = decided(a_subscription(status, "pro"))
    assert (found.plan, found.status, found.period) == ("free", status, None)


def test_of_several_the_highest_that_is_paid_for_counts() -> None:
    many = [
        a_subscription("canceled", "business"),
        a_subscription("active", "pro"),
        a_subscription("past_due", "business"),
        a_subscription("active", "something_else"),
    ]
    for order in permutations(many):
        assert decided(*order).plan == "business"
    assert decided(*many[:2], many[3]).plan == "pro"
    assert decided(many[3]).plan == "free"
    assert decided().plan == "free"


def test_an_operators_own_price_names_its_plan() -> None:
    own = {"id": "price_own", "lookup_key": None, "metadata": {"weir_plan": "business"}}
    assert decided(a_subscription("active", "", prices=[own])).plan == "business"


@given(
    st.permutations(range(4)), st.lists(st.sampled_from([*PAYING, *OTHER]), min_size=4, max_size=4)
)
def test_the_order_in_which_stripe_lists_subscriptions_changes_nothing(
    order: Sequence[int], statuses: list[str]
) -> None:
    plans = ["pro", "business", "pro", "business"]
    many = [
        a_subscription(status, plan, id=f"sub_{number}", created=1_700_000_000 + number)
        for number, (status, plan) in enumerate(zip(statuses, plans, strict=True))
    ]
    assert decided(*(many[each] for each in order)) == decided(*many)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with staged(services, tmp_path_factory.mktemp("subscribed")) as stage:
        yield stage


def an_event(kind: str, customer: str, user: str | None = None) -> Json:
    return {
        "event_id": f"evt_{uuid4().hex}",
        "type": kind,
        "created": "2026-11-24T09:30:00Z",
        "customer_id": customer,
        **({} if user is None else {"user_id": user}),
    }


async def plans_of(stage: Stage, user: str) -> list[PlanChanged]:
    found = await stage.stream.read("quota-commands", PlanChanged)
    return [each for each in found if each.user_id == user]


async def has_plans(stage: Stage, user: str, count: int) -> bool:
    return len(await plans_of(stage, user)) >= count


@pytest.mark.services
@pytest.mark.timeout(180)
async def test_every_order_of_events_ends_in_the_plan_of_the_final_state(stage: Stage) -> None:
    """All orders of six events, spread over customers: each sees the changes at other moments."""
    orders = list(permutations(range(len(TYPES))))[::18]
    steps = ["incomplete", "active", "past_due", "paused", "active", "canceled"]
    people = [(f"cus_{uuid4().hex[:14]}", f"user-{uuid4()}") for _ in orders]
    subscriptions = []
    for number, (customer, user) in enumerate(people):
        await stage.tell("customers", {"id": customer, "metadata": {"user_id": user}})
        final = steps[number % len(steps)]
        subscriptions.append((a_subscription("active", "pro", customer=customer), final))
    for at in range(len(TYPES)):
        changes = []
        for (subscription, final), order in zip(subscriptions, orders, strict=True):
            status = final if at == len(TYPES) - 1 else steps[order[at]]
            changes.append(stage.tell("subscriptions", {**subscription, "status": status}))
        await asyncio.gather(*changes)
        events = [
            an_event(TYPES[order[at]], customer)
            for order, (customer, _) in zip(orders, people, strict=True)
        ]
        # Some come twice.
        await asyncio.gather(
            *(stage.happened(each["customer_id"], each) for each in [*events, *events[::3]])
        )
    twice = set(range(0, len(people), 3))
    for number, (customer, user) in enumerate(people):
        final = subscriptions[number][1]
        events_of = len(TYPES) * (2 if number in twice else 1)
        await stage.weir.eventually(partial(has_plans, stage, user, events_of))
        last = (await plans_of(stage, user))[-1]
        assert last.plan == ("pro" if final in PAYING else "free"), (customer, final)
        assert (last.period is not None) == (final in PAYING)


@pytest.mark.services
async def test_a_checkout_makes_a_user_known_and_what_was_used_before_is_billed(
    stage: Stage,
) -> None:
    customer, user = f"cus_{uuid4().hex[:14]}", f"user-{uuid4()}"
    await stage.convert(a_conversion(user=user, value=7))
    await stage.tell("customers", {"id": customer})
    await stage.tell("subscriptions", a_subscription("active", "business", customer=customer))
    await stage.happened(customer, an_event("checkout.session.completed", customer, user))

    async def counted() -> bool:
        return (await stage.totals()).get(customer, 0) == 7

    await stage.weir.eventually(counted)
    # Stripe knows it from now on: events without a hint find the user.
    await stage.happened(customer, an_event("invoice.paid", customer))
    await stage.weir.eventually(partial(has_plans, stage, user, 2))
    assert {each.plan for each in await plans_of(stage, user)} == {"business"}
    rows = await stage.stream.read("stripe-customers", StripeCustomer)
    mine = [each for each in rows if each.user_id == user]
    assert {(each.customer_id, each.plan, each.status) for each in mine} == {
        (customer, "business", "active")
    }


@pytest.mark.services
async def test_a_customer_that_is_deleted_is_on_the_default_plan(stage: Stage) -> None:
    customer, user = f"cus_{uuid4().hex[:14]}", f"user-{uuid4()}"
    await stage.tell("customers", {"id": customer, "deleted": True})
    await stage.happened(customer, an_event("customer.deleted", customer, user))
    await stage.weir.eventually(partial(has_plans, stage, user, 1))
    [change] = await plans_of(stage, user)
    assert change.plan == "free"
