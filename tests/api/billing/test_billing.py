"""`GET /api/user/billing`: what ClickHouse has of one's use, added up exactly."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Final
from uuid import uuid4

import pytest

from schemas.billing import MAX_VALUE, ReportState, UsageReport
from tests.api.billing.conftest import Billed
from tests.api.billing.told import NOW, PERIOD, change, linked, new_customer, tell
from tests.api.quotas.people import Person, somebody
from tests.weir import Json

BILLING: Final = "/api/user/billing"
MICROSECOND: Final = timedelta(microseconds=1)
UNIT_AMOUNTS: Final = {"conversions": "2", "leads": "0.0125", "calls": "150"}

pytestmark = pytest.mark.services


async def shown(person: Person) -> Json:
    answer = await person.ask("GET", BILLING)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "private, no-store"
    return answer.json


async def units(person: Person) -> Mapping[str, tuple[int, int]]:
    """Units that are counted and those that wait, by meter; meters without any are left out."""
    found = {
        each["meter"]: (each["units"], each["pending_units"])
        for each in (await shown(person))["meters"]
    }
    assert list(found) == list(UNIT_AMOUNTS)
    return {meter: each for meter, each in found.items() if each != (0, 0)}


async def test_who_has_used_nothing_sees_every_meter_at_zero_for_this_month(
    billed: Billed,
) -> None:
    document = await shown(somebody(billed.weir))
    start = datetime.fromisoformat(document.pop("period_start"))
    end = datetime.fromisoformat(document.pop("period_end"))
    assert start <= datetime.now(UTC) < end
    assert (start.day, start.time().isoformat()) == (1, "00:00:00")
    assert (end.day, end.time().isoformat()) == (1, "00:00:00")
    assert timedelta(days=28) <= end - start <= timedelta(days=31)
    titles = {"conversions": "Conversions", "leads": "Leads", "calls": "Calls"}
    assert document == {
        "customer_id": None,
        "plan": "free",
        "subscription_status": None,
        "currency": "eur",
        "meters": [
            {
                "meter": meter,
                "title": titles[meter],
                "units": 0,
                "unit_amount": unit_amount,
                "amount": "0.00",
                "pending_units": 0,
            }
            for meter, unit_amount in UNIT_AMOUNTS.items()
        ],
        "amount": "0.00",
    }


async def test_a_customer_sees_what_was_metered_in_the_subscriptions_period(
    billed: Billed,
) -> None:
    person, customer = somebody(billed.weir), new_customer()
    await tell(
        billed.weir,
        [linked(person, customer)],
        [
            change("sent", 150, customer_id=customer),
            change("sent", 3, customer_id=customer, meter="leads"),
            change("sent", 1, customer_id=customer, at=PERIOD.start),
            # Outside of the period, if only just.
            change("sent", 1_000, customer_id=customer, at=PERIOD.start - MICROSECOND),
            change("sent", 1_000, customer_id=customer, at=PERIOD.end),
            change("sent", 1_000, customer_id=new_customer(), user_id=person.user_id),
        ],
    )
    document = await shown(person)
    assert document["customer_id"] == customer
    assert document["plan"] == "pro"
    assert document["subscription_status"] == "active"
    written_at = PERIOD.start.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert document["period_start"] == written_at
    conversions, leads, calls = document["meters"]
    assert (conversions["units"], conversions["amount"]) == (151, "3.02")
    assert (leads["units"], leads["unit_amount"], leads["amount"]) == (3, "0.0125", "0.000375")
    assert (calls["units"], calls["unit_amount"], calls["amount"]) == (0, "150", "0.00")
    assert document["amount"] == "3.020375"


async def test_a_report_counts_as_its_last_state_says_whatever_came_last(billed: Billed) -> None:
    person, customer = somebody(billed.weir), new_customer()

    def went(*states: ReportState, value: int) -> list[UsageReport]:
        report_id = uuid4()
        return [
            change(
                state,
                value,
                report_id=report_id,
                # While it waits nobody knows the customer.
                customer_id=None if state == "pending" else customer,
                user_id=person.user_id,
            )
            for state in states
        ]

    await tell(
        billed.weir,
        [linked(person, customer)],
        [
            *went("pending", "sent", value=1),
            *went("sent", "pending", value=10),
            *went("uncertain", "sent", value=100),
            *went("sent", "rejected", value=1_000),
            *went("rejected", "sent", value=1_000),
            *went("sent", "cancelled", value=1_000),
            *went("pending", "expired", value=1_000),
            *went("pending", value=10_000),
            *went("uncertain", value=100_000),
        ],
    )
    assert await units(person) == {"conversions": (111, 110_000)}


async def test_use_in_a_window_counts_once_as_the_window_does(billed: Billed) -> None:
    person, customer, alone = somebody(billed.weir), new_customer(), uuid4()

    def window(*states: ReportState, value: int) -> list[UsageReport]:
        """A window of two events, and the states of its own report."""
        window_id = uuid4()
        return [
            *(change("collected", value, customer_id=customer, within=window_id) for _ in range(2)),
            *(
                change(state, 2 * value, report_id=window_id, customer_id=customer, window=True)
                for state in states
            ),
        ]

    await tell(
        billed.weir,
        [linked(person, customer)],
        [
            *window(value=1),
            *window("sent", value=10),
            *window("uncertain", value=100),
            *window("uncertain", "sent", value=1_000),
            *window("rejected", value=10_000),
            # Told as sent with its window, which counts it.
            change("sent", 100_000, customer_id=customer, within=uuid4()),
            # Meant for a window, and then sent by itself.
            change("collected", 7, report_id=alone, customer_id=customer, within=uuid4()),
            change("sent", 7, report_id=alone, customer_id=customer),
        ],
    )
    assert await units(person) == {"conversions": (2_027, 202)}


async def test_a_window_at_the_end_of_a_period_is_in_the_one_that_it_was_sent_for(
    billed: Billed,
) -> None:
    person, customer, window = somebody(billed.weir), new_customer(), uuid4()
    before = PERIOD.start - timedelta(hours=1)
    await tell(
        billed.weir,
        [linked(person, customer)],
        [
            change("collected", 5, customer_id=customer, within=window),
            change("sent", 5, report_id=window, customer_id=customer, window=True, at=before),
        ],
    )
    assert await units(person) == {}


async def test_who_is_no_customer_sees_what_waits(billed: Billed) -> None:
    person = somebody(billed.weir)
    await tell(
        billed.weir,
        reports=[
            change("pending", 7, user_id=person.user_id),
            change("pending", 9, user_id=somebody(billed.weir).user_id),
        ],
    )
    assert await units(person) == {"conversions": (0, 7)}


async def test_who_became_another_customer_sees_what_that_one_pays(billed: Billed) -> None:
    person, first, second = somebody(billed.weir), new_customer(), new_customer()
    report = uuid4()
    await tell(
        billed.weir,
        [linked(person, first)],
        [
            change("pending", 100, report_id=report, user_id=person.user_id),
            change("sent", 100, report_id=report, user_id=person.user_id, customer_id=first),
        ],
    )
    assert await units(person) == {"conversions": (100, 0)}
    await tell(
        billed.weir,
        [linked(person, second)],
        [change("sent", 3, user_id=person.user_id, customer_id=second)],
    )
    assert await units(person) == {"conversions": (3, 0)}


async def test_many_reports_of_many_add_up_to_what_was_written(billed: Billed) -> None:
    random = Random(7)
    people = [somebody(billed.weir) for _ in range(4)]
    customers = {person.user_id: new_customer() for person in people[:3]}
    reports: list[UsageReport] = []
    counted: Counter[tuple[str, str]] = Counter()
    waiting: Counter[tuple[str, str]] = Counter()
    for _ in range(400):
        person = random.choice(people)
        customer = customers.get(person.user_id)
        ways: list[tuple[ReportState, ...]] = [("pending",)]
        if customer is not None:
            ways += [
                ("pending", "sent"),
                ("sent",),
                ("uncertain",),
                ("pending", "uncertain", "sent"),
                ("sent", "cancelled"),
                ("sent", "rejected"),
                ("expired",),
            ]
        states = random.choice(ways)
        report_id, value = uuid4(), random.randint(1, MAX_VALUE)
        meter = random.choice(list(UNIT_AMOUNTS))
        rows = [
            change(
                state,
                value,
                report_id=report_id,
                meter=meter,
                user_id=person.user_id,
                customer_id=None if state == "pending" else customer,
                at=PERIOD.start + random.random() * (NOW - PERIOD.start),
            )
            for state in states
        ]
        # A report has one time, and copies of its rows.
        reports += [row.model_copy(update={"occurred_at": rows[0].occurred_at}) for row in rows]
        if random.random() < 0.1:
            reports.append(reports[-1])
        if states[-1] == "sent":
            counted[person.user_id, meter] += value
        if states[-1] in {"pending", "uncertain"}:
            waiting[person.user_id, meter] += value
    random.shuffle(reports)
    await tell(
        billed.weir,
        # The last one has no subscription, and another period: not looked at.
        [linked(person, customers[person.user_id]) for person in people[:3]],
        reports,
    )
    for person in people[:3]:
        document = await shown(person)
        total = Fraction(0)
        for line in document["meters"]:
            meter = line["meter"]
            assert line["units"] == counted[person.user_id, meter]
            assert line["pending_units"] == waiting[person.user_id, meter]
            amount = Fraction(UNIT_AMOUNTS[meter]) * line["units"] / 100
            assert Fraction(line["amount"]) == amount
            total += amount
        assert Fraction(document["amount"]) == total > 0


@pytest.mark.parametrize("status", ["canceled", ""])
async def test_the_last_row_of_a_user_says_who_pays(billed: Billed, status: str) -> None:
    person, customer = somebody(billed.weir), new_customer()
    await tell(billed.weir, [linked(person, new_customer())])
    await tell(billed.weir, [linked(person, customer, None, status)])
    document = await shown(person)
    assert (document["customer_id"], document["subscription_status"]) == (customer, status or None)
    assert document["period_start"].endswith("-01T00:00:00.000Z")
