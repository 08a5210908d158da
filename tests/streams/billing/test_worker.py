"""Use is told to Stripe once, whatever comes again, and what nobody can be billed for is kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from deploy.forgetting.broker import opened_broker
from schemas.billing import CustomerLinked, ForgetUse, report_id_for
from schemas.dead_letters import DeadLetter
from schemas.topics import USAGE_LEDGER
from streams.billing.reports import Report, micros, names_person, planned, report_key, stored
from streams.group.places import Place
from streams.group.topics import describe
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, partition_of, staged
from tests.unreadable_names import UNREADABLE, send_together

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with staged(services, tmp_path_factory.mktemp("billing")) as stage:
        yield stage


def a_customer() -> str:
    return f"cus_{uuid4().hex[:14]}"


async def counted(stage: Stage, customer: str, units: int) -> bool:
    return (await stage.totals()).get(customer, 0) == units


async def test_conversions_are_counted_by_one_or_by_their_value(stage: Stage) -> None:
    customer = a_customer()
    await stage.convert(
        a_conversion(customer=customer),
        a_conversion(customer=customer, value=41),
        a_conversion(customer=customer, value=0),
        a_conversion(),
    )
    await stage.weir.eventually(partial(counted, stage, customer, 42))


async def test_a_copy_of_an_event_is_the_same_use(stage: Stage) -> None:
    customer, event_id = a_customer(), uuid4()
    copy = a_conversion(customer=customer, value=5, event_id=event_id)
    await stage.convert(copy, copy)
    last = a_conversion(customer=customer, value=100, event_id=uuid4())
    await stage.convert(copy, last)
    await stage.weir.eventually(partial(counted, stage, customer, 105))
    calls = (await stage.state())["identifiers"]
    await stage.convert(copy)
    next_one = a_conversion(customer=customer, value=1)
    await stage.convert(next_one)
    await stage.weir.eventually(partial(counted, stage, customer, 106))
    assert (await stage.state())["identifiers"] == calls + 1


async def test_a_header_name_that_is_not_utf8_stops_nothing(stage: Stage) -> None:
    customer, user = a_customer(), f"user-{uuid4()}"
    conversions = [a_conversion(customer=customer, user=user, value=value) for value in (1, 2, 4)]
    await send_together(
        stage.weir.kafka,
        stage.weir.topic("conversions"),
        partition_of(user),
        [
            (key, value, [UNREADABLE] if number == 1 else [])
            for number, (key, value) in enumerate(conversions)
        ],
    )
    await stage.weir.eventually(partial(counted, stage, customer, 7))
    assert all(each.running for each in stage.weir.processes)


async def test_use_waits_until_its_customer_is_known(stage: Stage) -> None:
    user, customer = f"user-{uuid4()}", a_customer()
    ids = [uuid4() for _ in range(5)]
    await stage.convert(
        *(
            a_conversion(user=user, value=number, event_id=each)
            for number, each in enumerate(ids, 1)
        )
    )
    reports = [report_id_for(each, "conversions") for each in ids]

    async def all_are(state: str) -> bool:
        states = await stage.states()
        return [states.get(each) for each in reports] == [state] * len(reports)

    await stage.weir.eventually(partial(all_are, "pending"))
    await link(stage, user, customer)
    await stage.weir.eventually(partial(counted, stage, customer, 15))
    await stage.weir.eventually(partial(all_are, "sent"))
    await stage.convert(a_conversion(user=user, value=10))
    await stage.weir.eventually(partial(counted, stage, customer, 25))


async def test_what_a_customer_was_billed_stays_with_that_one(stage: Stage) -> None:
    user, first, second = f"user-{uuid4()}", a_customer(), a_customer()
    before = a_conversion(user=user, value=7)
    await link(stage, user, first)
    await stage.convert(before)
    await stage.weir.eventually(partial(counted, stage, first, 7))
    await link(stage, user, second)
    await stage.convert(before, a_conversion(user=user, value=2))
    await stage.weir.eventually(partial(counted, stage, second, 2))
    assert await counted(stage, first, 7)
    # Without a customer use waits again.
    await link(stage, user, None)
    event_id = uuid4()
    await stage.convert(a_conversion(user=user, value=1, event_id=event_id))

    async def waits() -> bool:
        return (await stage.states()).get(report_id_for(event_id, "conversions")) == "pending"

    await stage.weir.eventually(waits)


async def test_what_was_used_before_there_was_a_key_is_reported_once_there_is(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with staged(services, tmp_path_factory.mktemp("no-key"), workers=0) as stage:
        customer = a_customer()
        await stage.convert(a_conversion(customer=customer, value=4))
        without = stage.start({"STRIPE_API_KEY": ""})
        assert await without.wait() == 78

        async def said() -> bool:
            return "nothing is lost" in without.log.read_text()

        await stage.weir.eventually(said)
        await stage.weir.keep(stage.start)
        await stage.weir.eventually(partial(counted, stage, customer, 4))


async def link(stage: Stage, user: str, customer: str | None) -> None:
    linked = CustomerLinked(user_id=user, customer_id=customer)
    await stage.weir.produce("usage-commands", [(user.encode(), linked.model_dump_json().encode())])


async def test_what_was_planned_a_day_ago_is_not_sent_again(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A worker that was killed after its call, and is back when Stripe has forgotten it."""
    async with staged(services, tmp_path_factory.mktemp("late"), workers=0) as stage:
        customer, event_id = a_customer(), uuid4()
        report_id = report_id_for(event_id, "conversions")
        then = datetime.now(UTC) - timedelta(hours=25)
        report = planned(
            Report(
                report_id=report_id,
                event_id=event_id,
                meter="conversions",
                value=3,
                occurred_at=micros(then),
                customer_id=customer,
                state="planned",
                at=micros(then),
            ),
            then,
        )
        admin = AIOKafkaAdminClient(**stage.weir.kafka.client_arguments())
        await admin.start()
        commands = stage.weir.topic("usage-commands")
        topic_id = (await describe(admin, [commands]))[commands].topic_id
        await admin.close()
        put = (report_key(report_id), stored(Place(topic_id.bytes, 0), report))
        await stage.stream.send("usage-ledger", [put], partition=partition_of(customer))
        await stage.weir.keep(stage.start)
        await stage.convert(
            a_conversion(customer=customer, value=3, event_id=event_id, at=then),
            a_conversion(customer=customer, value=1),
        )
        await stage.weir.eventually(partial(counted, stage, customer, 1))

        async def is_uncertain() -> bool:
            return (await stage.states()).get(report_id) == "uncertain"

        await stage.weir.eventually(is_uncertain)


async def test_what_cannot_be_billed_is_a_dead_letter_with_its_reason(stage: Stage) -> None:
    customer = a_customer()
    bad = {
        -1: "must not be negative",
        1.5: "must be a whole number",
        "7": "must be a whole number",
        True: "must be a whole number",
        10**12: "is more than the 1000000 of one event",
    }
    await stage.convert(*(a_conversion(customer=customer, value=each) for each in bad))
    await stage.convert(a_conversion(customer="not one", value=1))
    old = datetime.now(UTC) - timedelta(days=36)
    await stage.convert(a_conversion(customer=customer, at=old))
    await stage.convert(a_conversion(customer=customer, value=3))
    await stage.weir.eventually(partial(counted, stage, customer, 3))

    async def letters() -> list[DeadLetter]:
        return await stage.stream.read("dead-letters", DeadLetter)

    async def all_there() -> bool:
        return len(await letters()) == len(bad) + 2

    await stage.weir.eventually(all_there)
    reasons = sorted(each.reason for each in await letters())
    assert reasons == ["invalid_field", *["invalid_value"] * len(bad), "too_old"]
    details = " ".join(each.detail for each in await letters())
    assert all(why in details for why in bad.values())


async def test_what_a_forgotten_user_used_is_never_billed_again(stage: Stage) -> None:
    user, customer, company = f"user-{uuid4()}", a_customer(), a_customer()
    own = a_conversion(user=user, value=7)
    paid = a_conversion(user=user, customer=company, value=5)
    await link(stage, user, customer)
    await stage.convert(own, paid)
    await stage.weir.eventually(partial(counted, stage, customer, 7))
    await stage.weir.eventually(partial(counted, stage, company, 5))
    await forget(stage, ForgetUse(user_id=user))
    await forget(stage, ForgetUse(user_id=user, customer_id=customer, whole=True))
    await forget(stage, ForgetUse(user_id=user, customer_id=company))

    def is_named(key: bytes, value: bytes) -> bool:
        return names_person(key, value, user, (customer,))

    async def is_gone() -> bool:
        async with opened_broker(stage.weir.kafka) as broker:
            return await broker.living(USAGE_LEDGER, is_named) == 0

    await stage.weir.eventually(is_gone)
    # Copies, also once there is another customer; and use that is new.
    again = a_customer()
    await link(stage, user, again)
    await stage.convert(own, paid, a_conversion(user=user, value=2))
    await stage.weir.eventually(partial(counted, stage, again, 2))
    last = a_conversion(customer=company, value=1)
    await stage.convert(last)
    await stage.weir.eventually(partial(counted, stage, company, 6))
    assert await counted(stage, customer, 7)
    assert await counted(stage, again, 2)


async def forget(stage: Stage, command: ForgetUse) -> None:
    key = (command.customer_id or command.user_id).encode()
    await stage.weir.produce(
        "usage-commands", [(key, command.model_dump_json(exclude_none=True).encode())]
    )
