"""Every call that Weir makes is one that Stripe's own mock server accepts.

It checks addresses and parameters against Stripe's published interface, and answers with fixtures.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr
from stripe import StripeClient

from api.billing.stripe_sessions import StripeSessions
from deploy.billing.account_setup import set_up
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.meters import read_meters
from schemas.plans import read_catalogue
from schemas.stripe_account import StripeSettings, opened_stripe
from streams.billing.account import StripeAccount
from streams.billing.reports import Report, micros, planned
from tests.go_programs import BUILD_SECONDS, STRIPE_MOCK, required_go_program

pytestmark = [pytest.mark.services, pytest.mark.timeout(BUILD_SECONDS)]

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StripeClient]:
    program = await asyncio.to_thread(required_go_program, STRIPE_MOCK)
    port = free_port()
    folder = tmp_path_factory.mktemp("stripe-mock")
    process = ManagedProcess(
        "stripe-mock",
        [str(program), "-http-port", str(port), "-https-port", "-1"],
        log=folder / "stripe-mock.log",
    )
    process.start()
    base = f"http://127.0.0.1:{port}"
    try:
        await _answers(base, process)
        settings = StripeSettings(stripe_key=SecretStr("sk_test_123"), stripe_base=base)
        async with opened_stripe(settings) as opened:
            yield opened
    finally:
        await process.stop()


async def _answers(base: str, process: ManagedProcess) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            assert process.running, process.last_lines()
            try:
                async with session.get(base):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


def a_report() -> Report:
    now = datetime.now(UTC)
    report = Report(
        report_id=uuid4(),
        event_id=uuid4(),
        meter="conversions",
        value=3,
        occurred_at=micros(now),
        customer_id="cus_123",
        state="planned",
        at=micros(now),
    )
    return planned(report, now)


async def test_reports_and_cancellations_are_accepted(client: StripeClient) -> None:
    account, report = StripeAccount(client), a_report()
    await account.report(report, 0)
    await account.report(report, 1)
    await account.cancel(report, 0)


async def test_customers_and_their_subscriptions_are_found(client: StripeClient) -> None:
    account = StripeAccount(client)
    person = await account.person("cus_123")
    assert not person.is_deleted
    await account.name_user("cus_123", "alice")


async def test_checkout_and_portal_are_opened(client: StripeClient) -> None:
    sessions = StripeSessions(client)
    assert await sessions.portal("alice", "cus_123", "http://127.0.0.1:8000/")


async def test_an_account_is_set_up(client: StripeClient) -> None:
    said: list[object] = []
    await set_up(client, read_meters(), read_catalogue(), said.append)
    assert said


async def test_summaries_are_asked_for(client: StripeClient) -> None:
    await client.v1.billing.meters.event_summaries.list_async(
        "mtr_123",
        {
            "customer": "cus_123",
            "start_time": int(NOW.timestamp()) // 3600 * 3600,
            "end_time": int((NOW + timedelta(hours=3)).timestamp()) // 3600 * 3600,
            "value_grouping_window": "hour",
            "limit": 100,
        },
    )
