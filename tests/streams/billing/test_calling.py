"""How calls to Stripe wait, give up, and tell what is wrong, against the fake of Stripe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import pytest
from pydantic import SecretStr

from schemas.metrics.billing import CALL_DURATION, CALLS, FAILURES
from schemas.stripe_account import StripeSettings, opened_stripe
from streams.billing.account import StripeAccount
from streams.billing.calling import Calling, GivenUp
from streams.billing.reports import Report, micros, planned
from tests.scrapes import shown_here
from tests.stripe_fake import KEY, FakeStripe, Fault, served
from tests.until import until

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]

WHAT: Final = "reports"


def utc_now() -> datetime:
    return datetime.now(UTC)


def a_report(customer: str = "cus_1") -> Report:
    now = utc_now()
    return planned(
        Report(
            report_id=uuid4(),
            event_id=uuid4(),
            meter="conversions",
            value=3,
            occurred_at=micros(now),
            customer_id=customer,
            state="planned",
            at=micros(now),
        ),
        now,
    )


@asynccontextmanager
async def account_at(fake: FakeStripe, seconds: float = 1) -> AsyncIterator[StripeAccount]:
    async with served(fake) as url:
        settings = StripeSettings(stripe_key=SecretStr(KEY), stripe_base=url)
        async with opened_stripe(settings, seconds=seconds) as client:
            yield StripeAccount(client)


async def told(calling: Calling, account: StripeAccount, report: Report, end: datetime) -> None:
    async def call(attempt: int) -> None:
        await account.report(report, attempt)

    await calling.until(end, WHAT, call)


async def test_nothing_is_sent_once_the_time_for_it_is_over() -> None:
    """Stripe would have forgotten the identifier, and count it again."""
    fake, calling = FakeStripe(), Calling(10, utc_now)
    async with account_at(fake) as account:
        with pytest.raises(GivenUp) as caught:
            await told(calling, account, a_report(), utc_now() - timedelta(seconds=1))
    assert not caught.value.told
    assert not caught.value.asked
    assert fake.calls.total() == 0


@pytest.mark.parametrize(
    ("fault", "kind"), [("cut", "unreachable"), ("500", "error"), ("429", "rate_limited")]
)
async def test_who_gives_up_knows_whether_stripe_may_have_done_it(fault: str, kind: str) -> None:
    before = shown_here("billing")
    fake, end = FakeStripe(), utc_now()
    early, late = end - timedelta(seconds=1), end + timedelta(seconds=1)
    calling = Calling(10, lambda: late if fake.calls.total() >= 2 else early)
    fake.faults.script([Fault.of(fault) for _ in range(20)])
    async with account_at(fake, seconds=30) as account:
        with pytest.raises(GivenUp) as caught:
            await told(calling, account, a_report(), end)
    assert caught.value.told is (fault != "429")
    assert caught.value.asked
    after = shown_here("billing")
    failed = after.value(FAILURES, call=WHAT, kind=kind) - before.value(
        FAILURES, call=WHAT, kind=kind
    )
    assert failed == fake.calls.total()
    assert after.value(CALLS, call=WHAT) - before.value(CALLS, call=WHAT) == failed
    counted = after.value(CALL_DURATION, "_count") - before.value(CALL_DURATION, "_count")
    assert counted == failed


async def test_with_a_refused_key_one_call_at_a_time_finds_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.billing.calling.KEY_PAUSE", 0.3)
    fake, calling = FakeStripe(), Calling(10, utc_now)
    fake.key_valid = False
    end = utc_now() + timedelta(minutes=1)
    async with account_at(fake) as account, asyncio.timeout(30):
        waiting = [
            asyncio.create_task(told(calling, account, a_report(f"cus_{number}"), end))
            for number in range(100)
        ]
        await until(lambda: fake.calls.total() >= 12)
        assert "STRIPE_API_KEY" in (calling.problem() or "")
        # Ten were under way; since then one asks at a time.
        assert fake.calls.total() < 20
        fake.key_valid = True
        await asyncio.gather(*waiting)
    assert calling.problem() is None
    assert len(fake.metering.events) == 100


async def test_what_the_key_may_not_do_is_told_until_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.billing.calling.KEY_PAUSE", 0.3)
    fake, calling = FakeStripe(), Calling(10, utc_now)
    fake.faults.script([Fault.of("403")])
    end = utc_now() + timedelta(minutes=1)
    async with account_at(fake) as account, asyncio.timeout(30):
        refused = asyncio.create_task(told(calling, account, a_report(), end))
        await until(lambda: calling.problem() is not None)
        assert calling.problem() == "reports: the API key has no right to this at Stripe"

        async def other(_: int) -> None:
            return None

        await calling.until(end, "customers", other)
        # Another kind of call succeeds, which says nothing of this one.
        assert calling.problem() is not None
        await refused
        assert calling.problem() is None
