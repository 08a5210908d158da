"""Kafka or ClickHouse away: 503 in time, memory bounded, recovery without a restart."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from uuid import uuid4

import aiohttp
import psutil
import pytest
import pytest_asyncio
from clickhouse_connect import get_client

from api.publishing import KafkaPublisher, KafkaUnavailable, Message
from api.replies import Replies
from deploy.local.kafka import LocalKafka
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from deploy.migrate import apply_migrations
from deploy.topics import create_topics
from tests.api.replying import a_decision, ready, reply_to, within, write
from tests.api.requests import EVENTS, SUMMARY, Answer, ask, get, post
from tests.services import ClickHouseService, KafkaService, Service, Services, local_services
from tests.weir import Json, Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

PUBLISH_TIMEOUT = 1.0
QUERY_TIMEOUT = 1.0
GRACE = 0.5
MIB = 1_048_576
MAX_UNCONFIRMED = 4 * MIB
SETTINGS = {
    "WEIR_PUBLISH_TIMEOUT": str(PUBLISH_TIMEOUT),
    "WEIR_QUERY_TIMEOUT": str(QUERY_TIMEOUT),
    "WEIR_MAX_UNCONFIRMED_BYTES": str(MAX_UNCONFIRMED),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Services that the tests of this module may kill; each leaves them running."""
    async with local_services(tmp_path_factory.mktemp("outages")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def fragile(own_services: Services, tmp_path: Path) -> AsyncIterator[Weir]:
    async with throwaway_weir(own_services, tmp_path) as weir:
        await weir.session.close()
        weir.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        yield weir


@asynccontextmanager
async def frozen(process: ManagedProcess | None) -> AsyncIterator[None]:
    """The process stands still, its connections open."""
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def an_event(path: str, size: int = 10) -> dict[str, Json]:
    return {
        "event_id": str(uuid4()),
        "event_type": "page_view",
        "path": path,
        "metadata": {"text": "x" * size},
    }


async def timed(asking: Awaitable[Answer]) -> tuple[Answer, float]:
    start = monotonic()
    answer = await asking
    return answer, monotonic() - start


def is_away(answer: Answer, *names: str) -> None:
    detail = answer.problem(503, at_most=100_000)["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert any(name in detail for name in names), detail


async def not_ready(weir: Weir) -> dict[str, str]:
    """What /readyz names as not ready."""
    answer = await ask(weir, "GET", "/readyz")
    if answer.status == 200:
        return {}
    return dict(answer.problem(503)["not_ready"])


async def all_ready(weir: Weir) -> bool:
    return await not_ready(weir) == {}


async def only_not_ready(weir: Weir, *parts: str) -> bool:
    return set(await not_ready(weir)) == set(parts)


async def accepted(weir: Weir, document: Json) -> bool:
    return (await post(weir, document)).status == 202


async def counted(weir: Weir, path: str, count: int) -> bool:
    answer = await get(weir, SUMMARY, limit=10_000)
    if answer.status != 200:
        return False
    return {item["path"]: item["count"] for item in answer.json["items"]}.get(path) == count


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_kafka_away(fragile: Weir, how: str) -> None:
    weir, kafka = fragile, fragile.services.kafka
    sink = weir.start_sink()
    api = await weir.start_api(SETTINGS)
    events = [an_event("/during") for _ in range(200)]
    async with outage(kafka, how):
        answer, seconds = await timed(post(weir, events[0]))
        is_away(answer, "Kafka")
        assert answer.json["event_ids"] == [events[0]["event_id"]]
        assert seconds < PUBLISH_TIMEOUT + GRACE

        # All at once: none waits for another, which would take as long again.
        answers = await asyncio.gather(*(timed(post(weir, event)) for event in events))
        for answer, seconds in answers:
            is_away(answer, "Kafka")
            assert seconds < 2 * PUBLISH_TIMEOUT

        (answer, seconds) = await timed(get(weir, SUMMARY))
        assert answer.status == 200
        assert seconds < GRACE
        assert (await get(weir, EVENTS)).status == 200
        assert (await ask(weir, "GET", "/healthz")).status == 200
        await weir.eventually(partial(only_not_ready, weir, "kafka"), within=10)
    await weir.eventually(partial(accepted, weir, events), within=20, process=api)
    await weir.eventually(partial(counted, weir, "/during", 200), within=30, process=sink)
    # What reads replies connects again in its own time.
    await weir.eventually(partial(all_ready, weir), within=20, process=api)
    # Sent again after the 503s, some perhaps delivered twice: counted once all the same.
    assert await accepted(weir, [*events, an_event("/after")])
    await weir.eventually(partial(counted, weir, "/after", 1), within=30, process=sink)
    assert await counted(weir, "/during", 200)


async def test_an_outage_longer_than_anyone_waits_leaves_nothing_behind(
    fragile: Weir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weir, kafka = fragile, fragile.services.kafka
    monkeypatch.setattr("api.publishing.GIVE_UP_SECONDS", 0.5)
    async with KafkaPublisher(weir.kafka, timeout=0.2, max_bytes=MAX_UNCONFIRMED) as publisher:

        async def published() -> bool:
            try:
                await publisher.publish(
                    [
                        Message("page-views", f"{number}".encode(), b"x" * 1_000)
                        for number in range(100)
                    ]
                )
            except KafkaUnavailable:
                return False
            return True

        async def given_up() -> bool:
            assert not await published()
            problem = await publisher.problem() or ""
            return "cannot be reached" in problem and publisher._unconfirmed == 0

        await weir.eventually(published)
        tasks = len(asyncio.all_tasks())
        async with outage(kafka, "killed"):
            await weir.eventually(given_up, within=20)
            # From now on it says so at once, and keeps nothing.
            start = monotonic()
            assert not await published()
            assert monotonic() - start < 0.1
        await weir.eventually(published, within=20)
        assert await publisher.problem() is None
        await weir.eventually(at_most(tasks))
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert "destroyed" not in caplog.text


@asynccontextmanager
async def outage(service: Service, how: str) -> AsyncIterator[None]:
    if how == "killed":
        await service.kill()
        try:
            yield
        finally:
            await service.start()
    else:
        assert isinstance(service, KafkaService | ClickHouseService)
        async with frozen(service.process):
            yield


async def test_memory_is_bounded_while_kafka_is_away(fragile: Weir) -> None:
    weir, kafka = fragile, fragile.services.kafka
    api = await weir.start_api(SETTINGS)
    # Warm: what a full load takes while Kafka is there.
    body = [an_event("/large", 16_000) for _ in range(60)]
    assert await accepted(weir, body)
    process = psutil.Process(api.pid)
    before = process.memory_info().rss
    async with outage(kafka, "killed"):
        for _ in range(20):
            answers = await asyncio.gather(*(post(weir, body) for _ in range(5)))
            for answer in answers:
                is_away(answer, "Kafka")
        # 100 times 1 MB was sent, 4 MiB may wait; batches that are full and compressed count too.
        grown = process.memory_info().rss - before
        assert grown < 16 * MAX_UNCONFIRMED
    await weir.eventually(partial(accepted, weir, an_event("/after")), within=20, process=api)
    # What waited is gone: there is room for a full load again.
    await weir.eventually(partial(accepted, weir, body), within=20, process=api)


async def test_kafka_killed_under_load_again_and_again(fragile: Weir) -> None:
    weir, kafka = fragile, fragile.services.kafka
    sink = weir.start_sink()
    api = await weir.start_api(SETTINGS)
    done: list[int] = []
    stopped = asyncio.Event()

    async def client(number: int) -> None:
        while not stopped.is_set():
            event = an_event(f"/load/{number}")
            await weir.eventually(partial(accepted, weir, event), within=40, process=api)
            done.append(number)

    clients = [asyncio.create_task(client(number)) for number in range(40)]
    for _ in range(2):
        goal = len(done) + 400
        await weir.eventually(partial(reached, done, goal), within=40, process=api)
        await kafka.kill()
        await kafka.start()
    goal = len(done) + 400
    await weir.eventually(partial(reached, done, goal), within=40, process=api)
    stopped.set()
    await asyncio.gather(*clients)
    for number in range(40):
        await weir.eventually(
            partial(counted, weir, f"/load/{number}", done.count(number)), process=sink
        )


async def reached(done: list[int], goal: int) -> bool:
    return len(done) >= goal


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_clickhouse_away(fragile: Weir, how: str) -> None:
    weir = fragile
    sink = weir.start_sink()
    api = await weir.start_api(SETTINGS)
    async with outage(weir.services.clickhouse, how):
        questions = [(SUMMARY, {}), (EVENTS, {}), (SUMMARY, {"from_": "2026-01-01T00:30:00Z"})]
        answers = await asyncio.gather(
            *(timed(get(weir, endpoint, **parameters)) for endpoint, parameters in questions * 30)
        )
        for answer, seconds in answers:
            is_away(answer, "ClickHouse")
            assert seconds < QUERY_TIMEOUT + GRACE
        assert (await post(weir, an_event("/during"))).status == 202
        assert set(await not_ready(weir)) == {"clickhouse"}
        # As balancers ask, for whom what no process has is no reason to leave out all of them.
        assert (await ask(weir, "GET", "/readyz?exclude=clickhouse")).status == 200
        assert (await ask(weir, "GET", "/readyz?exclude=kafka")).status == 503
        assert (await ask(weir, "GET", "/healthz")).status == 200
    await weir.eventually(partial(counted, weir, "/during", 1), within=30, process=sink)
    assert api.running
    assert await not_ready(weir) == {}


async def test_an_api_that_starts_before_kafka_and_clickhouse(tmp_path: Path) -> None:
    kafka = KafkaService(LocalKafka(tmp_path / "kafka", free_port()), tmp_path / "kafka.log")
    clickhouse = ClickHouseService(tmp_path, free_port(), tmp_path / "clickhouse.log")
    weir = Weir(
        Services(kafka.bootstrap_servers, clickhouse.url, kafka, clickhouse), tmp_path, "early"
    )
    api = weir.launch_api({**SETTINGS, "WEIR_START_TIMEOUT": "120"})

    async def waits_for(*parts: str) -> bool:
        waits = (await not_ready(weir)).get("api", "")
        return all((part in waits) == (part in parts) for part in ("Kafka", "ClickHouse"))

    try:
        await weir.eventually(partial(healthy, weir), process=api)
        assert await waits_for("Kafka", "ClickHouse")

        await clickhouse.start()
        await weir.eventually(partial(says, weir, "api", "weir migrate"), process=api)
        await asyncio.to_thread(apply_migrations, weir.clickhouse, lambda _: None)
        await weir.eventually(partial(waits_for, "Kafka"), process=api)

        await kafka.start()
        await weir.eventually(partial(says, weir, "api", "weir topics"), process=api)
        await create_topics(weir.kafka, lambda _: None)
        await weir.eventually(weir.api_ready, within=20, process=api)
        assert await accepted(weir, an_event("/early"))
    finally:
        await api.stop()
        await weir.session.close()
        await kafka.stop()
        await clickhouse.stop()


async def test_an_edge_whose_servers_go_before_it_has_reached_them(tmp_path: Path) -> None:
    kafka = KafkaService(LocalKafka(tmp_path / "kafka", free_port()), tmp_path / "kafka.log")
    clickhouse = ClickHouseService(tmp_path, free_port(), tmp_path / "clickhouse.log")
    weir = Weir(
        Services(kafka.bootstrap_servers, clickhouse.url, kafka, clickhouse), tmp_path, "early"
    )
    api = weir.launch_edge_alone(SETTINGS)
    try:
        await weir.eventually(partial(healthy, weir), process=api)
        assert set(await not_ready(weir)) == {"kafka", "clickhouse", "api_keys"}
        answer, seconds = await timed(post(weir, an_event("/early")))
        is_away(answer, "Kafka")
        assert seconds < PUBLISH_TIMEOUT + GRACE
        is_away(await get(weir, SUMMARY), "ClickHouse")

        await clickhouse.start()
        await weir.eventually(
            partial(only_not_ready, weir, "kafka", "api_keys", "migrations"), process=api
        )
        assert "weir migrate" in (await not_ready(weir))["migrations"]
        is_away(await get(weir, SUMMARY), "weir migrate")
        await asyncio.to_thread(apply_migrations, weir.clickhouse, lambda _: None)
        await weir.eventually(partial(only_not_ready, weir, "kafka", "api_keys"), process=api)

        await kafka.start()
        await weir.eventually(partial(says, weir, "kafka", "weir topics"), process=api)
        await create_topics(weir.kafka, lambda _: None)
        await weir.eventually(weir.api_ready, within=20, process=api)
        assert await accepted(weir, an_event("/early"))
    finally:
        await api.stop()
        await weir.session.close()
        await kafka.stop()
        await clickhouse.stop()


async def healthy(weir: Weir) -> bool:
    try:
        return (await ask(weir, "GET", "/healthz")).status == 200
    except aiohttp.ClientError:
        return False


async def says(weir: Weir, part: str, text: str) -> bool:
    return text in (await not_ready(weir)).get(part, "")


def command(weir: Weir, statement: str) -> None:
    settings = weir.clickhouse
    with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
        client.command(statement)


async def test_migrations_that_do_not_fit_are_named(fragile: Weir) -> None:
    weir = fragile
    await weir.start_api(SETTINGS)

    async def after(statement: str) -> str:
        await asyncio.to_thread(command, weir, statement)
        [(part, problem)] = (await not_ready(weir)).items()
        assert part == "migrations"
        return problem

    insert = "INSERT INTO schema_migrations (version, name, sha256) VALUES"
    assert "newer version" in await after(f"{insert} (9999, 'of_tomorrow', 'ab')")
    assert "0004" in await after(
        "ALTER TABLE schema_migrations DELETE WHERE version = 4 SETTINGS mutations_sync = 1"
    )
    assert "run `weir migrate`" in await after("DROP TABLE schema_migrations")


def at_most(tasks: int) -> Callable[[], Awaitable[bool]]:
    async def no_task_is_left() -> bool:
        return len(asyncio.all_tasks()) <= tasks

    return no_task_is_left


async def test_a_restart_of_kafka_loses_no_reply(fragile: Weir) -> None:
    weir, kafka = fragile, fragile.services.kafka
    tasks = len(asyncio.all_tasks())
    async with Replies(weir.kafka) as replies:
        await ready(weir, replies)
        reading = len(asyncio.all_tasks())
        with replies.expected() as before, replies.expected() as after:
            # Its message may be read before the kill or after the start.
            written = a_decision()
            await write(weir, before, reply_to(before, written))
            await kafka.kill()
            await kafka.start()
            assert await within(30, before) == written
            late = a_decision()
            await write(weir, after, reply_to(after, late))
            assert await within(30, after) == late
        await ready(weir, replies)
        # A client's requests of this moment are tasks too, and end.
        await weir.eventually(at_most(reading))
    await weir.eventually(at_most(tasks))
