"""`weir stripe reconcile` and `pending`: real ClickHouse and Kafka, a fake Stripe."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from deploy.billing.reconciliation import settled_end
from schemas.billing import (
    AnyUsageCommand,
    CancelReport,
    CustomerLinked,
    UsageCommand,
    UsageCounted,
    UsageReport,
    report_id_for,
    window_report_id_for,
)
from schemas.partitioning import partition_for
from schemas.topics import USAGE_COMMANDS
from tests.deploy.billing.command_line import Account, Ended, opened_account
from tests.deploy.billing.stored import METER, Stored, hours_ago
from tests.services import Services
from tests.stripe_fake.objects import missing
from tests.weir import Json, Weir, all_taken, throwaway_weir

pytestmark = pytest.mark.services

AS_TEXT = "%Y-%m-%dT%H:%M:%SZ"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("reconcile")) as weir:
        yield weir


@pytest_asyncio.fixture(loop_scope="session")
async def account(shared: Weir) -> AsyncIterator[Account]:
    async with opened_account(shared.environment) as opened:
        ended = await opened.run("setup")
        assert ended.code == 0, ended.errors
        yield opened


def new_customer() -> str:
    """Tests share a database."""
    return f"cus_{uuid4().hex}"


def named(customer: str, value: int) -> str:
    return f'{{"stripe_customer_id":"{customer}","value":{value}}}'


async def reconciled(account: Account, *arguments: str, hours: int = 24) -> Ended:
    span = ("--from", hours_ago(hours).strftime(AS_TEXT), "--to", hours_ago(1).strftime(AS_TEXT))
    return await account.run("reconcile", *span, *arguments)


async def row_of(
    account: Account, customer: str, *arguments: str, hours: int = 24
) -> tuple[int, Json]:
    ended = await reconciled(
        account, "--customer", customer, "--all", "--json", *arguments, hours=hours
    )
    row, total = ended.lines
    assert row["customer_id"] == customer
    assert total["customer_id"] is None
    assert total["events"] == row["events"]
    return ended.code, row


async def commands_for(weir: Weir, customer: str) -> list[UsageCommand]:
    """What lies on usage-commands of this customer, each where its key says."""
    return [each for each in await all_commands(weir) if each.customer_id == customer]


async def all_commands(weir: Weir) -> list[UsageCommand]:
    topic = weir.topic(USAGE_COMMANDS.name)
    found = []
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments(), auto_offset_reset="earliest")
    async with consumer:
        partitions = [TopicPartition(topic, each) for each in range(USAGE_COMMANDS.partitions)]
        consumer.assign(partitions)
        for each, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(each) < end:
                record = await consumer.getone(each)
                command = AnyUsageCommand.model_validate_json(record.value).root
                key = command.customer_id
                if isinstance(command, CustomerLinked):
                    key = command.user_id
                assert record.key == (key or "").encode()
                assert each.partition == partition_for(record.key, USAGE_COMMANDS.partitions)
                found.append(command)
    return found


async def test_what_agrees_ends_with_0(shared: Weir, account: Account) -> None:
    stored, customer, user = Stored(shared, account.fake), new_customer(), uuid4().hex
    stored.customer(user, customer)
    for hours in (3, 20):
        at = hours_ago(hours, 5)
        stored.report(stored.event('{"value":4}', user=user, at=at), 4, customer, user=user, at=at)
    await stored.store()
    code, row = await row_of(account, customer)
    assert code == 0
    assert (row["events"], row["ledger"], row["stripe"]) == (8, 8, 8)
    assert (row["differs"], row["findings"]) == (False, [])
    ended = await reconciled(account, "--customer", customer)
    assert ended.code == 0
    assert customer not in ended.output
    assert "all 1" in ended.output


async def test_a_missing_a_double_and_a_wrong_one_are_found_and_fixed(
    shared: Weir, account: Account
) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    for _ in range(20):
        stored.report(stored.event(named(customer, 2)), 2, customer)
    missing = stored.event(named(customer, 1))
    double = stored.event(named(customer, 1))
    stored.report(double, 1, customer, changed=hours_ago(2))
    twice = stored.report(double, 1, customer, revision=1)
    wrong = stored.event(named(customer, 5))
    wrong_report = stored.report(wrong, 3, customer)
    of_none = stored.report(uuid4(), 2, customer)
    await stored.store()

    code, row = await row_of(account, customer)
    assert code == 1
    # The sums agree, and hide what is wrong.
    assert (row["events"], row["ledger"], row["stripe"]) == (47, 47, 47)
    found = {(each["kind"], each["event_id"]) for each in row["findings"]}
    assert ("missing", str(missing)) in found
    assert ("double", str(double)) in found
    assert ("wrong value", str(wrong)) in found
    assert len(row["findings"]) == 4
    assert all(each["fixable"] for each in row["findings"])
    assert await commands_for(shared, customer) == []

    ended = await reconciled(account, "--customer", customer, "--fix")
    assert ended.code == 1
    assert "4 commands are sent to the billing worker" in ended.errors
    assert "1 reports are taken back" in ended.errors
    assert "a second run with --fix sends that" in ended.errors
    assert "1 double" not in ended.output
    assert "2 double, 1 missing, 1 wrong value" in ended.output
    commands = await commands_for(shared, customer)
    counted = {
        (each.report_id, each.event_id, each.value, each.customer_id)
        for each in commands
        if isinstance(each, UsageCounted)
    }
    assert counted == {
        (report_id_for(missing, METER, 0), missing, 1, customer),
    }
    cancelled = {each.report_id for each in commands if isinstance(each, CancelReport)}
    assert cancelled == {twice, wrong_report, of_none}

    # As the worker does it; then what was taken back is missing.
    stored.report(wrong, 3, customer, "cancelled", report_id=wrong_report)
    await stored.store()
    await reconciled(account, "--customer", customer, "--fix")
    commands = (await commands_for(shared, customer))[len(commands) :]
    again = [each for each in commands if isinstance(each, UsageCounted)]
    assert [(each.report_id, each.value) for each in again if each.event_id == wrong] == [
        (report_id_for(wrong, METER, 1), 5)
    ]


async def test_what_is_too_old_to_fix_is_said_and_left(shared: Weir, account: Account) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    old, now = hours_ago(36 * 24), hours_ago(30)
    stored.event(named(customer, 1), at=old)
    wrong = stored.event(named(customer, 5), at=now)
    stored.report(wrong, 3, customer, at=now, changed=now + timedelta(minutes=1))
    await stored.store()
    ended = await reconciled(account, "--customer", customer, "--fix", hours=40 * 24)
    assert ended.code == 1
    assert "2 differences cannot be fixed now" in ended.errors
    assert "Stripe takes nothing older than 35 days" in ended.output
    assert "24 hours" in ended.output
    assert await commands_for(shared, customer) == []


async def test_what_stripe_lost_and_what_it_has_beside_are_found(
    shared: Weir, account: Account
) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    stored.report(stored.event(named(customer, 5)), 5, customer, tell=False)
    stored.report(stored.event(named(customer, 2)), 2, customer)
    # Not near: it does not make up for what is lost.
    stored.tell(customer, uuid4(), 4, hours_ago(30, 3))
    await stored.store()
    code, row = await row_of(account, customer, "--fix", hours=48)
    assert code == 1
    assert (row["events"], row["ledger"], row["stripe"]) == (7, 7, 6)
    beside, lost = row["findings"]
    assert (lost["kind"], lost["expected"], lost["found"]) == ("stripe differs", 7, 2)
    assert (beside["expected"], beside["found"], beside["fixable"]) == (0, 4, False)
    [command] = await commands_for(shared, customer)
    assert isinstance(command, UsageCounted)
    assert (command.value, command.occurred_at) == (5, hours_ago(3))
    assert command.event_id == command.report_id

    # As the worker does it; then Stripe has what it was told, and the correction is no use.
    stored.report(
        command.event_id,
        5,
        customer,
        report_id=command.report_id,
        at=command.occurred_at,
        changed=hours_ago(1, 5),
    )
    await stored.store()
    code, row = await row_of(account, customer, hours=48)
    assert (row["events"], row["ledger"], row["stripe"]) == (7, 7, 11)
    assert [each["found"] for each in row["findings"]] == [4]


async def test_a_window_that_was_rejected_is_counted_again_event_by_event(
    shared: Weir, account: Account
) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    window = window_report_id_for(customer, METER, 0, 0)
    events = [stored.event(named(customer, units)) for units in (2, 3)]
    for event, units in zip(events, (2, 3), strict=True):
        stored.report(event, units, customer, "collected", within=window)
    stored.report(None, 5, customer, "rejected", report_id=window)
    await stored.store()
    code, row = await row_of(account, customer, "--fix")
    assert (code, row["events"], row["ledger"]) == (1, 5, 0)
    counted = await commands_for(shared, customer)
    assert {each.report_id for each in counted if isinstance(each, UsageCounted)} == {
        report_id_for(event, METER, 1) for event in events
    }


async def test_what_waits_although_its_customer_is_known_is_linked_again(
    shared: Weir, account: Account
) -> None:
    stored, customer, user = Stored(shared, account.fake), new_customer(), uuid4().hex
    for _ in range(3):
        stored.report(stored.event(user=user), 1, state="pending", user=user)
    stored.customer(user, customer)
    await stored.store()
    code, row = await row_of(account, customer, "--fix")
    assert code == 1
    assert [each["kind"] for each in row["findings"]] == ["waiting"] * 3
    # One says it for all.
    assert await commands_for(shared, customer) == [
        CustomerLinked(user_id=user, customer_id=customer)
    ]


def no_customers(account: Account, monkeypatch: pytest.MonkeyPatch, *but: str) -> None:
    """Stripe refuses to sum up what is not of these customers: it has no others."""
    summaries = account.fake.metering.summaries

    def refusing(meter: Json, params: Json, *, empty_windows: bool) -> list[Json]:
        if params["customer"] not in but:
            raise missing("customer", params["customer"], param="customer")
        return summaries(meter, params, empty_windows=empty_windows)

    monkeypatch.setattr(account.fake.metering, "summaries", refusing)


@pytest.mark.parametrize("answers", ["an error", "0 units"])
async def test_with_the_key_of_another_account_nothing_is_fixed(
    weir: Weir, account: Account, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    account.environment.update(weir.environment)
    stored = Stored(weir)
    for state in ("sent", "uncertain"):
        customer = new_customer()
        stored.report(stored.event(named(customer, 5)), 5, customer, state)
    # Of whom Stripe was told nothing.
    stored.event(named(new_customer(), 3))
    if answers == "an error":
        no_customers(account, monkeypatch)
    await stored.store()
    ended = await reconciled(account, "--fix")
    assert ended.code == 1
    assert "Stripe has none of the 3 customers, so nothing is fixed" in ended.errors
    assert "is STRIPE_API_KEY a key of the account" in ended.errors
    assert "commands" not in ended.errors
    assert "can be fixed" not in ended.output
    assert await all_commands(weir) == []


async def test_a_customer_that_is_deleted_at_stripe_is_said_and_left(
    shared: Weir, account: Account
) -> None:
    stored, gone, lost = Stored(shared, account.fake), new_customer(), new_customer()
    for each in (gone, lost):
        account.fake.objects.customers[each] = {"id": each, "object": "customer"}
        stored.report(stored.event(named(each, 5)), 5, each, tell=False)
    account.fake.objects.delete_customer({}, gone)
    await stored.store()
    code, row = await row_of(account, gone, "--fix")
    assert (code, row["ledger"], row["stripe"]) == (1, 5, 0)
    [finding] = row["findings"]
    assert (finding["kind"], finding["fixable"]) == ("customer unknown", False)
    assert "deleted at Stripe" in finding["problem"]
    assert await commands_for(shared, gone) == []
    # Whom Stripe knows, and has nothing of, it has lost all of.
    code, row = await row_of(account, lost, "--fix")
    assert [each["kind"] for each in row["findings"]] == ["stripe differs"]
    assert len(await commands_for(shared, lost)) == 1


async def test_one_unknown_customer_keeps_no_other_from_being_fixed(
    weir: Weir, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.environment.update(weir.environment)
    stored, known, gone = Stored(weir, account.fake), new_customer(), new_customer()
    stored.report(stored.event(named(known, 5)), 5, known)
    for each in (known, gone):
        stored.event(named(each, 3))
    no_customers(account, monkeypatch, known)
    await stored.store()
    ended = await reconciled(account, "--fix")
    assert ended.code == 1
    assert f"{gone} conversions" in ended.output
    assert "1 commands are sent" in ended.errors
    assert [each.customer_id for each in await all_commands(weir)] == [known]


async def test_what_stripe_counted_before_the_span_or_after_it_is_no_difference(
    shared: Weir, account: Account
) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    account.fake.objects.customers[customer] = {"id": customer, "object": "customer"}
    # Dated ahead by a fast clock: Stripe was told the hour before, which may be the day before.
    at = hours_ago(24)
    event = stored.event(named(customer, 5), at=at)
    report = stored.report(event, 5, customer, at=at, changed=at + timedelta(seconds=2), tell=False)
    stored.tell(customer, report, 5, at - timedelta(seconds=1))
    even = hours_ago(26)
    stored.report(stored.event(named(customer, 2), at=even), 2, customer, at=even)
    await stored.store()
    sums = []
    for start, end in ((24, 2), (28, 24), (28, 2)):
        span = (hours_ago(hours).strftime(AS_TEXT) for hours in (start, end))
        ended = await account.run(
            *("reconcile", "--customer", customer, "--fix", "--json", "--all"),
            *(part for pair in zip(("--from", "--to"), span, strict=True) for part in pair),
        )
        row, _ = ended.lines
        assert (ended.code, row["findings"], row["differs"]) == (0, [], False)
        sums.append((row["events"], row["ledger"], row["stripe"]))
    # The ledger's are in the hours in which Stripe has them.
    assert sums == [(5, 0, 0), (2, 7, 7), (7, 7, 7)]
    assert await commands_for(shared, customer) == []


async def test_many_customers_are_compared_and_the_differing_ones_shown(
    services: Services, account: Account, weir: Weir
) -> None:
    account.environment.update(weir.environment)
    stored = Stored(weir, account.fake)
    customers = [new_customer() for _ in range(60)]
    for number, customer in enumerate(customers):
        for hours in (2, 30, 60):
            at = hours_ago(hours, number % 60)
            event = stored.event(named(customer, number + 1), at=at)
            if (number, hours) != (17, 30):
                stored.report(event, number + 1, customer, at=at)
    await stored.store()
    account.fake.calls.clear()
    ended = await reconciled(account, "--json", hours=72)
    assert ended.code == 1
    row, total = ended.lines
    assert (row["customer_id"], row["events"], row["ledger"]) == (customers[17], 54, 36)
    assert total["events"] == sum(range(1, 61)) * 3
    assert total["stripe"] == total["ledger"] == total["events"] - 18
    summaries = sum(
        count for call, count in account.fake.calls.items() if "event_summaries" in call
    )
    # A sum of each, and hours of one alone.
    assert summaries == 61
    ended = await reconciled(account, "--meter", METER, "--all", hours=72)
    assert ended.output.count("cus_") >= 60
    assert "all 60" in ended.output


async def test_more_hours_than_a_page_of_stripes_are_added_up(
    shared: Weir, account: Account
) -> None:
    stored, customer = Stored(shared, account.fake), new_customer()
    for hours in range(2, 232):
        at = hours_ago(hours, 30)
        event = stored.event(named(customer, hours), at=at)
        if hours != 150:
            stored.report(event, hours, customer, at=at)
    await stored.store()
    ended = await reconciled(account, "--customer", customer, "--json", hours=240)
    row, _ = ended.lines
    assert row["events"] == sum(range(2, 232))
    assert row["ledger"] == row["stripe"] == row["events"] - 150
    assert [(each["kind"], each["expected"]) for each in row["findings"]] == [("missing", 150)]


async def test_differences_are_looked_at_in_portions_and_up_to_a_bound(
    weir: Weir, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.environment.update(weir.environment)
    stored = Stored(weir, account.fake)
    customers = sorted(new_customer() for _ in range(7))
    for customer in customers:
        for hours in (5, 30):
            stored.event(named(customer, 1), at=hours_ago(hours))
    await stored.store()
    monkeypatch.setattr("deploy.billing.usage_read.AT_ONCE", timedelta(hours=3))
    monkeypatch.setattr("deploy.billing.reconciliation.CUSTOMERS_AT_ONCE", 3)
    monkeypatch.setattr("deploy.billing.reconciliation.EVENTS_AT_ONCE", 2)
    ended = await reconciled(account, "--json", hours=48)
    *rows, total = ended.lines
    assert [each["customer_id"] for each in rows] == customers
    assert [len(each["findings"]) for each in rows] == [2] * 7
    assert (total["events"], total["ledger"]) == (14, 0)
    assert "more differences" not in ended.errors

    monkeypatch.setattr("deploy.billing.reconciliation.MOST_FINDINGS", 3)
    ended = await reconciled(account, "--json", "--fix", hours=48)
    assert ended.code == 1
    assert sum(len(each["findings"]) for each in ended.lines[:-1]) == 4
    assert "more differences than one run looks at" in ended.errors


async def test_with_a_sink_that_is_behind_nothing_is_fixed(
    weir: Weir, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.environment.update(weir.environment)
    customer, event_id = new_customer(), uuid4()
    at = hours_ago(5, 1)
    text = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    event = (
        f'{{"event_id":"{event_id}","event_type":"conversion","path":"/","occurred_at":"{text}",'
        f'"metadata":{named(customer, 3)}}}'
    )
    report = UsageReport(
        change_id=uuid4(),
        number=4,
        report_id=report_id_for(event_id, METER),
        event_id=event_id,
        meter=METER,
        value=3,
        occurred_at=at,
        customer_id=customer,
        state="sent",
        at=at,
    )
    await weir.produce("conversions", [(str(event_id).encode(), event.encode())])
    await weir.produce("usage-reports", [(customer.encode(), report.model_dump_json().encode())])
    monkeypatch.setattr("deploy.billing.answers.SINK_SECONDS", 0.0)
    ended = await reconciled(account, "--fix")
    assert ended.code == 75
    assert "start `weir sink`" in ended.errors
    assert await commands_for(weir, customer) == []

    monkeypatch.undo()
    Stored(weir, account.fake).tell(customer, report.report_id, 3, at)
    weir.start_sink()
    await weir.eventually(lambda: all_taken(weir), within=120)
    ended = await reconciled(account, "--fix")
    assert (ended.code, ended.errors) == (0, "")


async def test_hours_that_use_may_be_on_its_way_of_are_left_out(account: Account) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    from_ = hours_ago(48).strftime("%Y-%m-%d")
    ended = await account.run("reconcile", "--from", from_, "--to", tomorrow)
    assert ended.errors.startswith("Up to ")
    assert "later use may be on its way" in ended.errors


def test_the_end_is_that_of_a_whole_hour_5_minutes_ago() -> None:
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    far = noon + timedelta(days=1)
    assert settled_end(far, noon + timedelta(minutes=5)) == noon
    assert settled_end(far, noon + timedelta(minutes=4)) == noon - timedelta(hours=1)
    assert settled_end(noon - timedelta(hours=3), noon) == noon - timedelta(hours=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "2026-11-24", "--to", "2026-11-24"), "before"),
        (("--from", "yesterday", "--to", "2026-11-24"), "2026-11-24T09:00:00Z"),
        (("--from", "2026-11-23", "--to", "2026-11-24T09:00:00"), "2026-11-24T09:00:00Z"),
        (("--from", "2026-11-23", "--to", "2026-11-24T09:30:00Z"), "whole hour"),
        (("--from", "2026-11-23", "--to", "2026-11-24", "--meter", "x"), "conversions"),
        (("--from", "2026-11-23", "--to", "2026-11-24", "--customer", "x"), "cus_"),
        (("--from", "2100-01-01", "--to", "2100-01-02"), "5 minutes"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    account: Account, arguments: tuple[str, ...], says: str
) -> None:
    ended = await account.run("reconcile", *arguments)
    assert ended.code == 2
    assert says in " ".join(ended.errors.replace("\u2502", " ").split())


async def test_what_is_missing_around_it_is_said(account: Account, weir: Weir) -> None:
    ended = await reconciled(account, "--customer", "cus_1")
    assert (ended.code, ended.output) == (0, "Nothing was used, and nothing reported.\n")

    settings = {"STRIPE_API_KEY": ""}
    span = ("--from", "2026-11-23", "--to", "2026-11-24")
    assert (await account.run("reconcile", *span, environment=settings)).code == 78

    settings = {"CLICKHOUSE_URL": "http://127.0.0.1:1/weir"}
    ended = await account.run("reconcile", *span, environment=settings)
    assert (ended.code, "CLICKHOUSE_URL" in ended.errors) == (75, True)

    settings = {"CLICKHOUSE_URL": f"{weir.services.clickhouse_url}/default"}
    ended = await account.run("reconcile", *span, environment=settings)
    assert (ended.code, "weir migrate" in ended.errors) == (1, True)

    [meter] = account.fake.objects.meters.values()
    meter["status"] = "inactive"
    ended = await account.run("reconcile", *span)
    assert (ended.code, "weir stripe setup" in ended.errors) == (1, True)


async def test_use_that_waits_is_listed_the_oldest_first(weir: Weir, account: Account) -> None:
    account.environment.update(weir.environment)
    ended = await account.run("pending")
    assert (ended.code, ended.output, ended.errors) == (0, "Nothing waits.\n", "")

    stored = Stored(weir)
    stored.report(uuid4(), 2, state="pending", user="u-1", at=hours_ago(5))
    stored.report(uuid4(), 3, state="pending", user="u-1", at=hours_ago(9))
    stored.report(uuid4(), 4, state="pending", user="u-\x1b2", at=hours_ago(20))
    stored.report(uuid4(), 5, state="pending", user="too old", at=hours_ago(36 * 24))
    sent: UUID = uuid4()
    stored.report(sent, 6, state="pending", user="u-3")
    stored.report(sent, 6, "cus_1", user="u-3")
    await stored.store()
    # Without a key: Stripe is not asked.
    ended = await account.run("pending", "--json", environment={"STRIPE_API_KEY": ""})
    assert ended.code == 0
    assert [(each["user_id"], each["units"], each["reports"]) for each in ended.lines] == [
        ("u-\x1b2", 4, 1),
        ("u-1", 5, 2),
    ]
    assert ended.lines[1]["oldest"] == hours_ago(9).strftime(AS_TEXT)
    ended = await account.run("pending", "--limit", "1")
    assert "u-\\x1b2" in ended.output
    assert "u-1" not in ended.output
    assert "… and 1 more" in ended.errors
    assert "metadata.user_id" in ended.errors
