"""A user with everything is erased and proved to be; whoever stands beside notices nothing."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from clickhouse_connect import get_client

from deploy.forgetting.tables import TABLES
from schemas.billing import CustomerLinked, StripeCustomer
from schemas.generation import GenerationRequest
from schemas.quotas import Spend
from schemas.topics import TOPICS
from tests.end_to_end.test_reconcile import THEN, reconciled, setup
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, staged
from tests.weir import Weir, all_taken

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

COMPANY = "cus_company"


@dataclass(frozen=True)
class Person:
    user: str
    visitor: str
    customer: str


def a_person(name: str) -> Person:
    mark = uuid4().hex[:10]
    return Person(f"{name}-{mark}@example.com", f"v-{name}-{mark}", f"cus_{name}{mark}")


@asynccontextmanager
async def everything(services: Services, folder: Path, *people: Person) -> AsyncIterator[Stage]:
    """All processes, and people of whom there is something in every place."""
    async with staged(services, folder) as stage:
        weir = stage.weir
        weir.start_sink()
        for start in (weir.start_quotas, weir.start_social):
            await weir.keep(partial(start, {"OPENAI_API_KEY": ""}))
        await setup(stage)
        for person in people:
            await live(stage, person)
        await weir.eventually(partial(settled, stage, people), within=120)
        await weir.eventually(partial(all_taken, weir))
        yield stage


def a_view(what: dict[str, object]) -> tuple[bytes, bytes]:
    """Key and value as they lie on `page-views`."""
    identity = str(uuid4())
    event = {"event_id": identity, "event_type": "page_view", "path": "/", **what}
    return identity.encode(), json.dumps(event).encode()


async def live(stage: Stage, person: Person) -> None:
    weir, user = stage.weir, person.user
    key = user.encode()
    views: list[dict[str, object]] = [
        {"user_id": user, "visitor_id": person.visitor},
        {"user_id": user, "metadata": {"email": user}},
        {"visitor_id": person.visitor},
    ]
    for view in views:
        await weir.produce("page-views", [a_view(view)])
    broken = json.dumps({"event_type": 5, "user_id": user}).encode()
    await weir.produce("page-views", [(None, broken), (None, b"\xff user " + key + b" \xfe")])
    linked = CustomerLinked(user_id=user, customer_id=person.customer)
    customer = StripeCustomer(
        change_id=uuid4(), user_id=user, customer_id=person.customer, plan="pro", at=THEN
    )
    # Waits for the customer, then is sent on; some of it another pays for.
    await stage.convert(a_conversion(user=user, value=3, at=THEN))
    await weir.produce("usage-commands", [(key, linked.model_dump_json().encode())])
    await weir.produce("stripe-customers", [(key, customer.model_dump_json().encode())])
    await stage.convert(
        a_conversion(user=user, value=4, at=THEN),
        a_conversion(user=user, customer=COMPANY, value=5, at=THEN),
    )
    spends = [
        Spend(
            command_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            reason=f"for {user}",
            count=1,
        )
        for _ in range(3)
    ]
    await weir.produce(
        "quota-commands", [(key, each.model_dump_json().encode()) for each in spends]
    )
    await stage.stream.ask(
        GenerationRequest(
            post_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            prompt="Autumn",
            platform="instagram",
        ),
        GenerationRequest(
            post_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            prompt=f"A picture of {user}",
            platform="instagram",
        ),
    )


async def settled(stage: Stage, people: tuple[Person, ...]) -> bool:
    totals = {person.customer: 7 for person in people} | {COMPANY: 5 * len(people)}
    [(results, letters)] = stage.weir.query(
        "SELECT (SELECT count() FROM generation_results), (SELECT count() FROM dead_letters)"
    )
    done = bool(results == letters == 2 * len(people))
    # Stripe has counted a moment before the worker says so in its ledger.
    return (
        done
        and await stage.has_counted(totals)
        and set((await stage.states()).values()) == {"sent"}
    )


async def forget(weir: Weir, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.commands", "forget", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=weir.folder,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **weir.environment},
    )


async def forgotten(
    weir: Weir, *arguments: str
) -> tuple[int | None, Mapping[str, tuple[int, int]], str]:
    """Exit code, place → rows before and after, and what is said beside it."""
    process = await forget(weir, "--json", *arguments)
    output, errors = await asyncio.wait_for(process.communicate(), 180)
    lines = [json.loads(line) for line in output.splitlines()]
    places = {each["place"]: (each["before"], each.get("after", -1)) for each in lines}
    return process.returncode, places, errors.decode()


def rows_with(weir: Weir, *names: str) -> dict[str, list[str]]:
    """All rows of all tables, and mutations, that hold one of these texts anywhere."""
    settings = weir.clickhouse
    found = {}
    with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "AND engine LIKE '%MergeTree'"
        ).result_rows
        sources = {name: "SELECT * FROM {name:Identifier}" for (name,) in tables}
        sources["mutations"] = (
            "SELECT command FROM system.mutations WHERE database = currentDatabase()"
        )
        for name, sql in sources.items():
            rows = client.raw_query(sql, {"name": name}, fmt="JSONEachRow")
            text = rows.decode(errors="replace")
            lines = [line for line in text.splitlines() if any(each in line for each in names)]
            if lines:
                found[name] = sorted(lines)
    return found


async def living_with(weir: Weir, *names: str) -> dict[str, list[bytes]]:
    """Keys of compacted topics whose newest record holds one of these texts."""
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments())
    await consumer.start()
    found = {}
    try:
        for topic in TOPICS:
            if topic.settings.get("cleanup.policy") != "compact":
                continue
            newest: dict[bytes, bytes | None] = {}
            for number in range(topic.partitions):
                place = TopicPartition(weir.topic(topic.name), number)
                consumer.assign([place])
                await consumer.seek_to_beginning(place)
                end = (await consumer.end_offsets([place]))[place]
                while await consumer.position(place) < end:
                    for record in (await consumer.getmany(timeout_ms=200)).get(place, []):
                        newest[record.key] = record.value
            found[topic.name] = sorted(
                key
                for key, value in newest.items()
                if value is not None and any(each.encode() in key + value for each in names)
            )
    finally:
        await consumer.stop()
    return {name: keys for name, keys in found.items() if keys}


def objects_with(weir: Weir, *names: str) -> list[str]:
    """Files of the media store that hold one of these texts."""
    return [
        path.name
        for path in (weir.folder / "data" / "media-store").rglob("*")
        if path.is_file() and any(each.encode() in path.read_bytes() for each in names)
    ]


def pictures(weir: Weir) -> set[str]:
    return {path.name for path in (weir.folder / "data" / "media-store" / "media").iterdir()}


async def test_everything_of_a_user_is_erased_and_nothing_of_another(
    services: Services, tmp_path: Path
) -> None:
    ann, bob = a_person("ann"), a_person("bob")
    async with everything(services, tmp_path, ann, bob) as stage:
        weir = stage.weir
        others = rows_with(weir, bob.user, bob.visitor, bob.customer)
        others_keys = await living_with(weir, bob.user, bob.customer)
        names = (ann.user, ann.visitor, ann.customer)
        before = rows_with(weir, *names)
        assert before.keys() >= {table.name for table in TABLES} | {"dead_letters"}
        assert objects_with(weir, ann.user)
        assert len(pictures(weir)) == 3
        assert (await reconciled(stage))[0] == 0

        code, places, said = await forgotten(weir, ann.user, "--dry-run")
        assert code == 0
        assert all(found > 0 for found, _ in places.values()), places
        assert ann.visitor in said
        assert rows_with(weir, *names) == before

        code, places, said = await forgotten(weir, ann.user, "--visitor", ann.visitor, "--yes")
        assert code == 0, said
        assert all(found > 0 and left == 0 for found, left in places.values()), places
        assert ann.customer in said
        assert "quota-decisions" in said
        assert rows_with(weir, *names) == {}
        assert await living_with(weir, *names) == {}
        assert objects_with(weir, *names) == []
        # What both have made is there for the other.
        assert len(pictures(weir)) == 2
        assert rows_with(weir, bob.user, bob.visitor, bob.customer) == others
        assert await living_with(weir, bob.user, bob.customer) == others_keys

        # Neither is anything billed again nor missed: what the company pays for still adds up.
        totals = await stage.totals()
        assert (await reconciled(stage))[0] == 0
        assert (await reconciled(stage, "--fix"))[0] == 0
        code, places, _ = await forgotten(weir, ann.user, "--yes")
        assert code == 0
        assert set(places.values()) == {(0, 0)}
        assert await stage.totals() == totals


async def test_a_kill_in_the_middle_leaves_what_the_next_run_erases(
    services: Services, tmp_path: Path
) -> None:
    ann, bob = a_person("ann"), a_person("bob")
    async with everything(services, tmp_path, ann, bob) as stage:
        weir = stage.weir
        others = rows_with(weir, bob.user, bob.customer)
        process = await forget(weir, ann.user, "--yes", "--visitor", ann.visitor)
        assert process.stderr is not None
        async with asyncio.timeout(120):
            while b"erasing" not in await process.stderr.readline():
                pass

        async def has_begun() -> bool:
            return "dead_letters" not in rows_with(weir, ann.user)

        await weir.eventually(has_begun)
        process.kill()
        await process.wait()
        code, places, said = await forgotten(weir, ann.user, "--yes", "--visitor", ann.visitor)
        assert code == 0, said
        assert all(left == 0 for _, left in places.values())
        names = (ann.user, ann.visitor, ann.customer)
        assert rows_with(weir, *names) == {}
        assert await living_with(weir, *names) == {}
        assert objects_with(weir, *names) == []
        assert rows_with(weir, bob.user, bob.customer) == others


async def test_customers_that_clickhouse_does_not_know_yet_forget_the_user_too(
    services: Services, tmp_path: Path
) -> None:
    ann = a_person("ann")
    async with staged(services, tmp_path) as stage:
        weir, key = stage.weir, ann.user.encode()
        linked = CustomerLinked(user_id=ann.user, customer_id=ann.customer)
        customer = StripeCustomer(
            change_id=uuid4(), user_id=ann.user, customer_id=ann.customer, plan="pro", at=THEN
        )
        await weir.produce("usage-commands", [(key, linked.model_dump_json().encode())])
        await weir.produce("stripe-customers", [(key, customer.model_dump_json().encode())])
        await stage.convert(
            a_conversion(user=ann.user, value=4, at=THEN),
            a_conversion(user=ann.user, customer=COMPANY, value=5, at=THEN),
        )
        await weir.eventually(partial(stage.has_counted, {ann.customer: 4, COMPANY: 5}))
        names = (ann.user, ann.customer)
        assert await living_with(weir, *names)

        process = await forget(weir, "--json", ann.user, "--yes")
        assert process.stderr is not None
        async with asyncio.timeout(120):
            while b"round 1" not in await process.stderr.readline():
                pass
        # Only now ClickHouse learns whose customer the user is, and who pays besides.
        assert rows_with(weir, *names) == {}
        weir.start_sink()
        output, errors = await asyncio.wait_for(process.communicate(), 180)
        assert process.returncode == 0, errors
        assert all(json.loads(line)["after"] == 0 for line in output.splitlines())
        assert ann.customer in errors.decode()
        assert rows_with(weir, *names) == {}
        assert await living_with(weir, *names) == {}
        assert rows_with(weir, COMPANY).keys() == {"events", "usage_reports"}


async def test_a_company_that_a_user_checked_out_for_goes_on_paying_for_all(
    services: Services, tmp_path: Path
) -> None:
    ann, bob = a_person("ann"), a_person("bob")
    async with staged(services, tmp_path) as stage:
        weir, key = stage.weir, ann.user.encode()
        weir.start_sink()
        await setup(stage)
        linked = CustomerLinked(user_id=ann.user, customer_id=COMPANY)
        customer = StripeCustomer(
            change_id=uuid4(), user_id=ann.user, customer_id=COMPANY, plan="pro", at=THEN
        )
        await weir.produce("usage-commands", [(key, linked.model_dump_json().encode())])
        await weir.produce("stripe-customers", [(key, customer.model_dump_json().encode())])
        await stage.convert(
            a_conversion(user=ann.user, value=3, at=THEN),
            a_conversion(user=ann.user, customer=COMPANY, value=4, at=THEN),
            a_conversion(user=bob.user, customer=COMPANY, value=5, at=THEN),
        )

        async def is_reported() -> bool:
            # Stripe has counted a moment before the worker says so in its ledger.
            counted = await stage.has_counted({COMPANY: 12})
            return counted and list((await stage.states()).values()) == ["sent"] * 3

        await weir.eventually(is_reported)
        await weir.eventually(partial(all_taken, weir))
        others, others_keys = rows_with(weir, bob.user), await living_with(weir, bob.user)
        assert others.keys() == {"events", "usage_reports"}
        assert (await reconciled(stage))[0] == 0

        code, places, said = await forgotten(weir, ann.user, "--yes")
        assert code == 0, said
        assert all(left == 0 for _, left in places.values()), places
        assert f"{COMPANY}, which others' use is billed to, stays" in said
        assert "delete the customer" not in said
        assert rows_with(weir, ann.user) == {}
        assert await living_with(weir, ann.user) == {}
        assert rows_with(weir, bob.user) == others
        assert await living_with(weir, bob.user) == others_keys
        # All that Stripe has counted is there, and nothing of it is taken back.
        code, lines = await reconciled(stage, "--fix", "--all")
        assert code == 0, lines
        assert [(each["events"], each["ledger"], each["stripe"]) for each in lines] == [
            (12, 12, 12)
        ] * 2
        assert await stage.totals() == {COMPANY: 12}


async def test_a_worker_that_does_not_run_is_named_and_nothing_is_erased_without_yes(
    weir: Weir,
) -> None:
    user = f"ann-{uuid4()}"
    code, places, said = await forgotten(weir, user)
    assert (code, places) == (2, {})
    assert "--yes" in said
    await weir.produce("page-views", [a_view({"user_id": user})])
    code, _, said = await forgotten(weir, user, "--yes", "--wait", "1")
    assert code == 75
    assert "weir sink" in said
    weir.start_sink()
    code, _, said = await forgotten(weir, user, "--yes")
    assert code == 0, said
    command = Spend(
        command_id=uuid4(), user_id=user, issued_at=datetime.now(UTC), reason="a", count=1
    )
    await weir.produce("quota-commands", [(user.encode(), command.model_dump_json().encode())])
    code, _, said = await forgotten(weir, user, "--yes", "--wait", "1")
    assert code == 75
    assert "weir quotas" in said


async def test_every_column_that_names_a_person_is_looked_at(weir: Weir) -> None:
    named = weir.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        "AND name IN ('user_id', 'visitor_id', 'customer_id') AND table IN "
        "(SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND engine LIKE '%MergeTree')"
    )
    looked_at = {
        (table.name, column)
        for table in TABLES
        for column in (table.user, table.visitor, table.customer)
        if column
    }
    assert set(named) == looked_at
