"""Any order of Stripe's events, with repeats, ends in the plan that Stripe's final state says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from stripe import StripeClient

from schemas.billing import PAYING, StripeEvent
from schemas.plans import read_catalogue
from schemas.quotas import PlanChanged
from schemas.servers import KafkaSettings
from schemas.stripe_account import StripeSettings, opened_stripe
from streams.billing.account import (
    AnswerLost,
    KeyRefused,
    NotPermitted,
    Person,
    StripeAccount,
)
from streams.billing.calling import Calling
from streams.billing.customers import Customers
from streams.billing.outputs import Outputs
from streams.messages import Message
from streams.records import Headers
from streams.writer import Writer
from tests.stripe_fake import KEY, FakeStripe, served

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

CUSTOMER: Final = "cus_1"
USER: Final = "alice"
TYPES: Final = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.paused",
    "customer.subscription.deleted",
    "invoice.paid",
    "invoice.payment_failed",
)
STATUSES: Final = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled")
START: Final = 1_795_000_000


class Collected(Writer):
    """Keeps what would go to Kafka; what goes there is shown by the worker's own tests."""

    def __init__(self) -> None:
        super().__init__(KafkaSettings())
        self.messages: list[Message] = []

    async def write(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def plans(self) -> list[PlanChanged]:
        found = [each.value for each in self.messages if each.topic == "quota-commands"]
        return [PlanChanged.model_validate_json(each) for each in found]


class AMessage:
    offset = 0
    timestamp = 1000 * START
    headers: Headers = ()

    def __init__(self, event: StripeEvent) -> None:
        self.key = (event.customer_id or event.event_id).encode()
        self.value = event.model_dump_json().encode()


@asynccontextmanager
async def stripe_at(fake: FakeStripe) -> AsyncIterator[StripeClient]:
    async with (
        served(fake) as url,
        opened_stripe(StripeSettings(stripe_key=SecretStr(KEY), stripe_base=url)) as client,
    ):
        yield client


def utc_now() -> datetime:
    return datetime.now(UTC)


def customers_of(
    account: StripeAccount, written: Writer, clock: Callable[[], datetime] = utc_now
) -> Customers:
    outputs = Outputs(KafkaSettings(topic_prefix=""), 4)
    return Customers(account, Calling(10, clock), written, outputs, read_catalogue(), clock)


PLACE: Final = TopicPartition("stripe-events", 0)


def an_event(number: int) -> StripeEvent:
    return StripeEvent(
        event_id=f"evt_{number}",
        type=TYPES[number],
        created=datetime.now(UTC),
        customer_id=CUSTOMER,
    )


async def last_plan(statuses: Sequence[str], order: Sequence[int]) -> PlanChanged:
    """What is said at the end, when each event comes after another change at Stripe."""
    fake, written = FakeStripe(), Collected()
    fake.objects.create_customer({"id": CUSTOMER, "metadata": {"user_id": USER}})
    async with stripe_at(fake) as client:
        customers = customers_of(StripeAccount(client), written)
        for at, number in enumerate(order):
            fake.objects.put_subscription(
                {
                    "id": "sub_1",
                    "customer": CUSTOMER,
                    "status": statuses[min(at, len(statuses) - 1)],
                    "prices": [{"id": "price_1", "lookup_key": "weir_pro_monthly"}],
                    "current_period_start": START,
                    "current_period_end": START + 30 * 86_400,
                }
            )
            await customers.apply_stripe_event(PLACE, AMessage(an_event(number)))
    assert fake.wrong == []
    plans = written.plans()
    # Under one id the same is said, or quotas would take it for a conflict.
    by_id = {each.command_id: (each.plan, each.period) for each in plans}
    assert all(by_id[each.command_id] == (each.plan, each.period) for each in plans)
    return plans[-1]


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(STATUSES), min_size=1, max_size=10),
    st.permutations(range(len(TYPES))),
    st.lists(st.integers(0, len(TYPES) - 1), max_size=4),
)
def test_every_order_ends_in_the_plan_of_the_final_state(
    statuses: Sequence[str], order: Sequence[int], repeated: Sequence[int]
) -> None:
    whole = [*order, *repeated]
    final = statuses[min(len(whole) - 1, len(statuses) - 1)]
    last = asyncio.run(last_plan(statuses, whole))
    assert last.plan == ("pro" if final in PAYING else "free")
    assert (last.period is not None) == (final in PAYING)


class Failing(StripeAccount):
    """Fails so often in one way; each call takes a day."""

    def __init__(self, client: StripeClient, times: int, error: Exception) -> None:
        super().__init__(client)
        self.calls = 0
        self._times = times
        self._error = error
        self._begin = datetime.now(UTC)

    def clock(self) -> datetime:
        return self._begin + timedelta(days=self.calls)

    async def person(self, customer_id: str) -> Person:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return await super().person(customer_id)


async def said_after(times: int, error: Exception) -> tuple[Failing, Collected]:
    """What an event leads to when the first so many calls fail."""
    fake, written = FakeStripe(), Collected()
    fake.objects.create_customer({"id": CUSTOMER, "metadata": {"user_id": USER}})
    async with stripe_at(fake) as client, asyncio.timeout(30):
        account = Failing(client, times, error)
        customers = customers_of(account, written, account.clock)
        await customers.apply_stripe_event(PLACE, AMessage(an_event(0)))
    return account, written


async def test_a_key_that_is_mended_after_days_loses_nobody_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.billing.calling.KEY_PAUSE", 0.01)
    account, written = await said_after(10, KeyRefused("refused"))
    assert account.calls == 11
    assert [each.plan for each in written.plans()] == ["free"]
    assert not [each for each in written.messages if each.topic == "dead-letters"]


@pytest.mark.parametrize("error", [AnswerLost("cut off"), NotPermitted("no right to it")])
async def test_while_stripe_is_away_for_days_an_event_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("streams.billing.calling.KEY_PAUSE", 0.01)
    account, written = await said_after(50, error)
    assert account.calls == 3
    [letter] = written.messages
    assert letter.topic == "dead-letters"
    assert letter.value is not None
    assert b"stripe_away" in letter.value
