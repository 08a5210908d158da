"""A topic with too many dead letters stands still, others go on, and `/readyz` says so."""

import asyncio
from functools import partial
from uuid import uuid4

import aiohttp
import orjson
import pytest

from deploy.local.ports import free_port
from schemas.metrics.consumers import LAG, OLDEST
from schemas.metrics.every_process import READY
from schemas.metrics.sink import STOPPED
from tests.scrapes import scraped
from tests.weir import Json, Weir, all_taken

pytestmark = pytest.mark.services

LIMIT = 20


class Health:
    """The health server of a sink of this Weir."""

    def __init__(self, weir: Weir) -> None:
        self._weir = weir
        self.port = free_port()
        self.environment = {"WEIR_SINK_PORT": str(self.port)}

    async def ask(self, path: str) -> tuple[int, Json]:
        try:
            async with self._weir.session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return 0, None

    async def is_ready(self) -> bool:
        return (await self.ask("/readyz"))[0] == 200

    async def names(self, part: str) -> bool:
        status, document = await self.ask("/readyz")
        return status == 503 and part in document["not_ready"]


def event(event_type: str, path: str) -> tuple[bytes, bytes]:
    event_id = str(uuid4())
    document = {"event_id": event_id, "event_type": event_type, "path": path}
    return event_id.encode(), orjson.dumps(document)


async def rows(weir: Weir, sql: str, **parameters: str) -> int:
    [(count,)] = await asyncio.to_thread(weir.query, sql, **parameters)
    return int(count)


async def counted(weir: Weir, path: str, count: int) -> bool:
    sql = "SELECT count() FROM events WHERE path = {path:String}"
    return await rows(weir, sql, path=path) == count


async def test_a_broken_producer_stops_its_topic_alone_until_the_sink_is_started_again(
    weir: Weir,
) -> None:
    health = Health(weir)
    settings = {**health.environment, "WEIR_SINK_DEAD_LETTERS_PER_MINUTE": str(LIMIT)}
    sink = weir.start_sink(settings)
    await weir.eventually(health.is_ready, process=sink)
    # All on one partition, so that they are one batch or few.
    await weir.produce(
        "page-views", [(b"same", b"{")] * (LIMIT + 1) + [event("page_view", "/behind")]
    )
    await weir.eventually(partial(health.names, "page-views"), process=sink)
    _, document = await health.ask("/readyz")
    said = document["not_ready"]["page-views"]
    assert f"WEIR_SINK_DEAD_LETTERS_PER_MINUTE={LIMIT}" in said
    assert "not_json" in said
    assert document["not_ready"].keys() == {"page-views"}
    assert (await health.ask("/healthz"))[0] == 200
    shown = await scraped(weir.session, health.port)
    assert shown.value(STOPPED, topic="page-views") == 1
    assert shown.value(STOPPED) == 1
    assert shown.value(READY, part="page-views") == 0
    assert shown.value(LAG, topic="page-views") > 0
    assert shown.value(OLDEST, topic="page-views") > 0
    assert "too many dead letters" in sink.log.read_text()

    await weir.produce("page-views", [event("page_view", "/stopped") for _ in range(20)])
    await weir.produce("custom-events", [event("signup", "/goes-on") for _ in range(20)])
    await weir.eventually(partial(counted, weir, "/goes-on", 20), process=sink)
    assert await rows(weir, "SELECT count() FROM dead_letters") <= LIMIT
    assert not await counted(weir, "/stopped", 20)
    assert await sink.stop(15) == 0

    again = weir.start_sink({**health.environment, "WEIR_SINK_DEAD_LETTERS_PER_MINUTE": "0"})
    await weir.eventually(partial(all_taken, weir), process=again)
    assert await health.is_ready()
    assert await counted(weir, "/stopped", 20)
    assert await counted(weir, "/behind", 1)
    assert await rows(weir, "SELECT count() FROM dead_letters") == LIMIT + 1


async def test_a_sink_that_has_not_begun_is_alive_and_not_ready(weir: Weir) -> None:
    health = Health(weir)
    sink = weir.start_sink({**health.environment, "CLICKHOUSE_URL": "http://127.0.0.1:1/none"})
    await weir.eventually(partial(health.names, "sink"), process=sink)
    assert await health.ask("/healthz") == (200, {"status": "ok"})


async def test_readiness_names_clickhouse_while_it_is_away(weir: Weir) -> None:
    health = Health(weir)
    sink = weir.start_sink(health.environment)
    await weir.eventually(health.is_ready, process=sink)
    await weir.services.clickhouse.kill()
    try:
        await weir.eventually(partial(health.names, "clickhouse"), process=sink)
    finally:
        await weir.services.clickhouse.start()
    await weir.eventually(health.is_ready, process=sink)


async def test_a_port_that_is_taken_ends_the_sink_with_a_sentence(weir: Weir) -> None:
    health = Health(weir)
    first = weir.start_sink(health.environment)
    await weir.eventually(health.is_ready, process=first)
    second = weir.start_sink(health.environment)
    assert await asyncio.wait_for(second.wait(), 30) == 1
    assert "set WEIR_SINK_PORT to another port" in "\n".join(second.last_lines())
