"""The tables of a cluster: each event once under kills, and every question gets its answer.

One server is all of the cluster (tests/clustered_clickhouse.py says what that leaves out).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
import pytest_asyncio

from deploy.billing.clickhouse_questions import opened_questions
from deploy.forgetting.customers import with_customers
from deploy.forgetting.mutations import Mutations
from deploy.forgetting.subject import Subject
from deploy.forgetting.tables import TABLES, erase, take_names_off
from deploy.local.ports import free_port
from schemas.meters import read_meters
from schemas.settings import EX_CONFIG
from tests.clustered_clickhouse import CLUSTER
from tests.end_to_end.test_exactly_once import KILLS, SABOTAGED, SMALL_BATCHES, stored_more_than
from tests.load import Load, send, stored_exactly
from tests.services import ClickHouseService, Services, local_services
from tests.weir import Weir, all_taken, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

QUESTIONS = (
    "/analytics/summary",
    "/analytics/totals",
    "/analytics/totals?path=/page-views/1",
    "/analytics/timeseries?interval=day&group_by=event_type",
    "/analytics/breakdown?by=referrer",
    "/analytics/breakdown?by=country&device=mobile",
    "/analytics/events",
    "/analytics/events?user_id=u-1",
    "/analytics/export?format=ndjson",
    "/dead-letters",
    "/dead-letters?state=all",
    "/dead-letters?state=replayed",
    "/api/users",
    "/api/user/usage",
    "/api/user/billing",
    "/social/posts",
    "/readyz",
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Of this module: its ClickHouse lets everybody in, and so does the Kafka beside it."""
    async with local_services(tmp_path_factory.mktemp("open")) as running:
        yield running


@asynccontextmanager
async def clustered(services: Services, folder: Path, *, shards: int) -> AsyncIterator[Weir]:
    """A Weir on a ClickHouse of its own, with the tables of a cluster."""
    own = ClickHouseService(
        folder / "cluster",
        free_port(),
        folder / "cluster.log",
        program="tests.clustered_clickhouse",
        environment={"SHARDS": str(shards)},
    )
    await own.start()
    try:
        placed = Services(services.kafka_servers, own.url, services.kafka, own)
        settings = {"WEIR_CLICKHOUSE_CLUSTER": CLUSTER}
        async with throwaway_weir(placed, folder, settings) as weir:
            yield weir
    finally:
        await own.stop()


async def test_a_sink_killed_at_random_moments_stores_each_event_once_in_a_cluster(
    services: Services, tmp_path: Path
) -> None:
    chance = Random(21)
    async with clustered(services, tmp_path, shards=1) as weir:
        load = Load(seed=22)
        for turn in range(KILLS):
            await send(weir, load.messages(1_500))
            [(rows,)] = weir.query("SELECT count() FROM events")
            if turn % 2:
                # Stored, and not committed: the next one must be told so by the token.
                sink = weir.process([SABOTAGED], {**SMALL_BATCHES, "KILLED": "after_insert"})
            else:
                sink = weir.start_sink(SMALL_BATCHES)
                moment = rows + chance.randrange(1_000)
                await weir.eventually(partial(stored_more_than, weir, moment), process=sink)
                sink.kill()
            await sink.wait()
        await send(weir, load.messages(500))
        last = weir.start_sink(SMALL_BATCHES)
        await weir.eventually(partial(all_taken, weir), within=90, process=last)
        assert stored_exactly(weir, load) == []


@pytest.mark.parametrize("shards", [1, 2])
async def test_every_question_is_answered_from_the_tables_of_a_cluster(
    services: Services, tmp_path: Path, shards: int
) -> None:
    async with clustered(services, tmp_path, shards=shards) as weir:
        load = Load(seed=23)
        await send(weir, load.messages(2_000))
        sink = weir.start_sink(SMALL_BATCHES)
        await weir.eventually(partial(all_taken, weir), within=90, process=sink)
        await weir.start_api()
        answers = {}
        for path in QUESTIONS:
            async with weir.session.get(weir.url + path) as answer:
                answers[path] = answer.status, (await answer.text())[:300]
        assert {path: got for path, got in answers.items() if got[0] != 200} == {}
        # Both shards are the same server: each event is read once for each.
        expected = {path: count * shards for path, count in load.paths.items()}
        assert await weir.summary() == expected


async def test_a_user_is_taken_off_what_others_pay_for_in_a_cluster(
    services: Services, tmp_path: Path
) -> None:
    meters, ann, reported = read_meters(), Subject("ann"), str(uuid4())
    async with clustered(services, tmp_path, shards=1) as weir:
        with opened_questions(weir.clickhouse) as questions:
            for event_id in (reported, str(uuid4())):
                weir.query(
                    "INSERT INTO events_local (event_id, event_type, path, user_id, metadata) "
                    "SELECT {event:UUID}, 'conversion', '/', 'ann', '{}'",
                    event=event_id,
                )
            weir.query(
                "INSERT INTO usage_reports (change_id, report_id, event_id, user_id, customer_id) "
                "SELECT generateUUIDv4(), generateUUIDv4(), {event:UUID}, 'ann', 'cus_company'",
                event=reported,
            )
            weir.query(
                "INSERT INTO stripe_customers (change_id, user_id, customer_id) "
                "SELECT generateUUIDv4(), arrayJoin(['ann', 'bob']), 'cus_company'"
            )
            ann = with_customers(questions, ann, meters)
            assert (ann.customers, ann.paid_by) == ((), ("cus_company",))
            mutations = Mutations(questions, cluster=True, say=lambda _: None)
            await take_names_off(questions, mutations, ann, meters)
            for table in TABLES:
                await erase(questions, mutations, table, ann)
        assert weir.query("SELECT toString(event_id), user_id FROM events") == [(reported, "")]
        assert weir.query("SELECT user_id, customer_id FROM usage_reports") == [("", "cus_company")]


async def test_rows_that_name_no_shard_are_refused_where_there_are_several(
    services: Services, tmp_path: Path
) -> None:
    async with clustered(services, tmp_path, shards=2) as weir:
        with pytest.raises(Exception, match="no sharding key"):
            weir.query("INSERT INTO events (event_id) VALUES (generateUUIDv4())")


@pytest.mark.parametrize("cluster", ["", "another"])
async def test_a_sink_with_other_settings_than_the_tables_does_not_start(
    services: Services, tmp_path: Path, cluster: str
) -> None:
    async with clustered(services, tmp_path, shards=1) as weir:
        sink = weir.start_sink({"WEIR_CLICKHOUSE_CLUSTER": cluster})
        assert await sink.wait() == EX_CONFIG
        assert any("WEIR_CLICKHOUSE_CLUSTER" in line for line in sink.last_lines())


async def test_a_sink_with_a_cluster_does_not_start_on_the_tables_of_one_server(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        sink = weir.start_sink({"WEIR_CLICKHOUSE_CLUSTER": CLUSTER})
        assert await sink.wait() == EX_CONFIG
        assert any("WEIR_CLICKHOUSE_CLUSTER" in line for line in sink.last_lines())
