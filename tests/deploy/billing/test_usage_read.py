"""Sums, events and reports as ClickHouse has them, of every kind of metadata and report."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from msgspec import Raw

from deploy.billing.clickhouse_questions import opened_questions
from deploy.billing.usage_read import OfCustomer, UsageRead
from schemas.billing import window_report_id_for
from schemas.decoding import WireEvent
from schemas.meters import Meter, Meters, read_meters
from streams.billing.metering import usage_of
from streams.failures import Invalid
from tests.deploy.billing.stored import METER, Stored, hours_ago
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = pytest.mark.services

CONVERSIONS = read_meters().meters[METER]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("usage")) as shared:
        yield shared


def together(*meters: Meter) -> Meters:
    return Meters("usd", {each.name: each for each in meters})


def customer() -> str:
    """A new one: tests share a database."""
    return f"cus_{uuid4().hex}"


async def sums(weir: Weir, of: str, *meters: Meter) -> tuple[int, int, int, int]:
    """Units and number of events, units of the ledger, faults: of the first meter's last day."""
    known = meters or (CONVERSIONS,)

    def ask() -> tuple[int, int, int, int]:
        with opened_questions(weir.clickhouse) as questions:
            read = UsageRead(questions, known[0], together(*known))
            days = read.days(hours_ago(24), hours_ago(0), of).get(of, {}).values()
        return (
            sum(day.used for day in days),
            sum(day.events for day in days),
            sum(day.ledger for day in days),
            sum(day.faults for day in days),
        )

    return await asyncio.to_thread(ask)


def reported(metadata: str) -> int:
    """Units that the billing worker reports of such an event."""
    event = WireEvent(
        event_id=str(uuid4()), event_type="conversion", path="/", metadata=Raw(metadata.encode())
    )
    try:
        usage = list(usage_of(event, hours_ago(3), together(CONVERSIONS)))
    except Invalid:
        return 0
    return sum(each.value for each in usage)


async def single(weir: Weir, *of: str, hours: int = 24) -> dict[str, OfCustomer]:
    def ask() -> dict[str, OfCustomer]:
        with opened_questions(weir.clickhouse) as questions:
            read = UsageRead(questions, CONVERSIONS, together(CONVERSIONS))
            return read.single(hours_ago(hours), hours_ago(0), of)

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ('"value":7', 7),
        ('"value":1000000', 1_000_000),
        ('"other":7', 1),
        ('"value":0', 0),
        ('"value":-3', 0),
        ('"value":1.5', 0),
        ('"value":3.0', 0),
        ('"value":1e2', 0),
        ('"value":"7"', 0),
        ('"value":true', 0),
        ('"value":null', 1),
        ('"value":[7]', 0),
        ('"value":1000001', 0),
        ('"value":18446744073709551615', 0),
        ('"value":123456789012345678901234567890', 0),
        ('"other":123456789012345678901234567890,"value":7', 7),
        ('"value":2,"value":7', 7),
        ('"value":7,"value":"x"', 0),
        ('"inner":{"value":7}', 1),
        (r'"\u0076alue":7', 7),
        ('"value":7,"weir_site":"site_abcdefghijklmnop"', 0),
    ],
)
async def test_units_of_an_event_are_those_that_are_reported(
    weir: Weir, value: str, units: int
) -> None:
    stored, of = Stored(weir), customer()
    event = stored.event(f'{{"stripe_customer_id":"{of}",{value}}}')
    await stored.store()
    assert (await sums(weir, of))[:2] == (units, int(units > 0))
    found = (await single(weir, of))[of]
    assert [(each.event_id, each.units) for each in found.events] == [(event, units)]
    assert reported(f'{{"stripe_customer_id":"{of}",{value}}}') == units
    # By a meter that looks at nothing, each is one that no page has sent.
    by_number = (await sums(weir, of, replace(CONVERSIONS, value="")))[0]
    assert by_number == ("weir_site" not in value)
    if units > 1:
        assert (await sums(weir, of, replace(CONVERSIONS, most=units - 1)))[0] == 0


async def test_of_an_event_that_one_meter_refuses_none_counts(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    seats = replace(CONVERSIONS, name="seats", value="seats", most=10)
    for members in ('"value":5,"seats":2', '"value":7', '"value":9,"seats":11', '"seats":3'):
        stored.event(f'{{"stripe_customer_id":"{of}",{members}}}')
    await stored.store()
    assert (await sums(weir, of, CONVERSIONS, seats))[0] == 5 + 7 + 1
    assert (await sums(weir, of, seats, CONVERSIONS))[0] == 2 + 1 + 3
    assert (await sums(weir, of, CONVERSIONS))[0] == 5 + 7 + 9 + 1


async def test_the_customer_is_the_named_one_else_the_users_latest(weir: Weir) -> None:
    stored, named, linked, before = Stored(weir), customer(), customer(), customer()
    user = uuid4().hex
    stored.customer(user, linked, received=hours_ago(1))
    stored.customer(user, before, received=hours_ago(2))
    stored.event(f'{{"stripe_customer_id":"{named}","value":2}}', user=user)
    stored.event('{"value":3}', user=user)
    stored.event('{"stripe_customer_id":null,"value":4}', user=user)
    # Who names a customer that cannot be is refused, and reported for nobody.
    for unusable in ('"no customer"', "7", '"cus_"', r'"cus_1\n"', "[]"):
        stored.event(f'{{"stripe_customer_id":{unusable},"value":10}}', user=user)
    stored.event('{"value":100}', user=uuid4().hex)
    stored.event('{"value":100}')
    await stored.store()
    assert (await sums(weir, named))[0] == 2
    assert (await sums(weir, linked))[0] == 7
    assert (await sums(weir, before))[0] == 0


async def test_use_of_a_user_whose_customer_is_deleted_is_nobodys_until_there_is_another(
    weir: Weir,
) -> None:
    stored, gone, now, user = Stored(weir), customer(), customer(), uuid4().hex
    stored.customer(user, gone, received=hours_ago(3))
    stored.customer(user, gone, received=hours_ago(2), status="deleted")
    event = stored.event('{"value":3}', user=user)
    stored.report(event, 3, state="pending", user=user)
    # Of before it was gone.
    stored.report(stored.event('{"value":4}', user=user), 4, gone, user=user)
    await stored.store()
    assert await sums(weir, gone) == (4, 1, 4, 0)
    stored.customer(user, now, received=hours_ago(1))
    await stored.store()
    assert await sums(weir, gone) == (4, 1, 4, 0)
    assert await sums(weir, now) == (3, 1, 0, 1)


async def test_use_stays_with_the_customer_it_was_reported_for(weir: Weir) -> None:
    stored, before, now = Stored(weir), customer(), customer()
    user = uuid4().hex
    stored.report(stored.event('{"value":3}', user=user), 3, before, user=user)
    stored.event('{"value":4}', user=user)
    stored.customer(user, now)
    await stored.store()
    assert await sums(weir, before) == (3, 1, 3, 0)
    assert await sums(weir, now) == (4, 1, 0, 1)


async def test_only_events_of_the_type_and_of_the_span_count_and_copies_once(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    metadata = f'{{"stripe_customer_id":"{of}"}}'
    stored.event(metadata, event_type="signup")
    stored.event(metadata, at=hours_ago(24) - timedelta(milliseconds=1))
    stored.event(metadata, at=hours_ago(0))
    first = stored.event(metadata, at=hours_ago(24))
    stored.event(metadata, event_id=first, at=hours_ago(24), received=hours_ago(2))
    await stored.store()
    assert (await sums(weir, of))[:2] == (1, 1)


async def test_each_state_of_a_report_counts_as_it_should(weir: Weir) -> None:
    stored, of = Stored(weir), customer()

    def event() -> UUID:
        return stored.event(f'{{"stripe_customer_id":"{of}","value":2}}')

    sent = event()
    stored.report(sent, 2, "", "pending")
    stored.report(sent, 2, of)
    await stored.store()
    assert await sums(weir, of) == (2, 1, 2, 0)
    for state in ("collected", "uncertain", "expired", "rejected", "cancelled"):
        each = event()
        stored.report(each, 2, of)
        # Not sent, or no more: the latest state is that of the highest number.
        if state in {"rejected", "cancelled"}:
            stored.report(each, 2, of, state)
        else:
            each = event()
            stored.report(each, 2, of, state)
    await stored.store()
    # Three of the events were sent, and three more have no good report.
    used, events, ledger, faults = await sums(weir, of)
    assert (used, events, ledger, faults) == (18, 9, 8, 5)


async def test_doubles_wrong_values_and_reports_of_none_are_faults(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    double = stored.event(f'{{"stripe_customer_id":"{of}","value":2}}')
    stored.report(double, 2, of)
    stored.report(double, 2, of, revision=1)
    stored.report(stored.event(f'{{"stripe_customer_id":"{of}","value":3}}'), 4, of)
    stored.report(uuid4(), 5, of)
    stored.report(stored.event(f'{{"stripe_customer_id":"{of}","value":0}}'), 6, of)
    await stored.store()
    assert await sums(weir, of) == (5, 2, 19, 4)
    found = (await single(weir, of))[of]
    assert len(found.events) == 3
    assert len(found.reports) == 5


async def test_a_window_is_in_the_ledger_once_and_its_events_are_reported(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    window = window_report_id_for(of, METER, 0, 0)
    for units in (2, 3):
        event = stored.event(f'{{"stripe_customer_id":"{of}","value":{units}}}')
        stored.report(event, units, of, "collected", within=window)
    await stored.store()
    assert await sums(weir, of) == (5, 2, 0, 2)
    stored.report(None, 5, of, report_id=window)
    await stored.store()
    assert await sums(weir, of) == (5, 2, 5, 0)

    wrong = window_report_id_for(of, METER, 1, 0)
    event = stored.event(f'{{"stripe_customer_id":"{of}","value":4}}')
    stored.report(event, 4, of, "collected", within=wrong)
    stored.report(None, 6, of, report_id=wrong)
    await stored.store()
    assert await sums(weir, of) == (9, 3, 11, 1)


async def test_what_a_window_sums_up_beyond_the_span_is_read_with_it(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    window = window_report_id_for(of, METER, 0, 0)
    for hours in (1, 9):
        event = stored.event(f'{{"stripe_customer_id":"{of}"}}', at=hours_ago(hours))
        stored.report(event, 1, of, "collected", within=window, at=hours_ago(hours))
    stored.report(None, 2, of, report_id=window, at=hours_ago(9))
    await stored.store()
    found = (await single(weir, of, hours=2))[of]
    assert len(found.events) == 1
    assert len(found.reports) == 3


async def test_corrections_are_no_use(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    stored.report(stored.event(f'{{"stripe_customer_id":"{of}","value":2}}'), 2, of)
    alone, inside = uuid4(), uuid4()
    stored.report(alone, 7, of, report_id=alone)
    window = window_report_id_for(of, METER, 0, 0)
    event = stored.event(f'{{"stripe_customer_id":"{of}","value":3}}')
    stored.report(event, 3, of, "collected", within=window)
    stored.report(inside, 8, of, "collected", report_id=inside, within=window)
    stored.report(None, 11, of, report_id=window)
    await stored.store()
    assert await sums(weir, of) == (5, 2, 5, 0)


async def test_what_was_told_ahead_counts_when_it_was_told(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    ahead = hours_ago(-20)
    event = stored.event(f'{{"stripe_customer_id":"{of}","value":2}}', at=ahead)
    stored.report(event, 2, of, at=ahead, changed=hours_ago(2))
    await stored.store()
    assert await sums(weir, of) == (0, 0, 2, 0)
    [report] = (await single(weir, of))[of].reports
    assert report.counted_at == hours_ago(2)
    assert report.occurred_at == ahead
    assert report.at.tzinfo is UTC


async def test_what_waits_for_a_customer_is_read_with_the_event(weir: Weir) -> None:
    stored, of = Stored(weir), customer()
    user = uuid4().hex
    event = stored.event('{"value":2}', user=user)
    stored.report(event, 2, state="pending", user=user)
    stored.report(uuid4(), 2, state="pending", user="somebody else")
    stored.customer(user, of)
    await stored.store()
    assert await sums(weir, of) == (2, 1, 0, 1)
    [report] = (await single(weir, of))[of].reports
    assert (report.event_id, report.state, report.user_id) == (event, "pending", user)
