"""Any order of Stripe's events, with repeats, ends in the plan that Stripe's final state says."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.billing import PAYING, StripeEvent
from schemas.plans import read_catalogue
from schemas.quotas import PlanChanged
from schemas.servers import KafkaSettings
from schemas.stripe_account import StripeSettings, opened_stripe
from streams.billing.account import StripeAccount
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


async def last_plan(statuses: Sequence[str], order: Sequence[int]) -> PlanChanged:
    """What is said at the end, when each event comes after another change at Stripe."""
    fake, written = FakeStripe(), Collected()
    fake.objects.create_customer({"id": CUSTOMER, "metadata": {"user_id": USER}})
    async with (
        served(fake) as url,
        opened_stripe(StripeSettings(stripe_key=SecretStr(KEY), stripe_base=url)) as client,
    ):
        customers = Customers(
            StripeAccount(client),
            Calling(10, lambda: datetime.now(UTC)),
            written,
            Outputs(KafkaSettings(topic_prefix=""), 4),
            read_catalogue(),
            lambda: datetime.now(UTC),
        )
        place = TopicPartition("stripe-events", 0)
        events = [
            StripeEvent(
                event_id=f"evt_{number}",
                type=TYPES[number],
                created=datetime.now(UTC),
                customer_id=CUSTOMER,
            )
            for number in range(len(TYPES))
        ]
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
            await customers.apply_stripe_event(place, AMessage(events[number]))
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
