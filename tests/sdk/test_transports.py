"""Both transports deliver to a real Weir, and HTTP minds what a server may answer."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import topic_for
from tests.sdk.hosts import ask, hello, http_scope
from tests.weir import Json, Weir
from weir_sdk import AnalyticsMiddleware, EventRejected, HttpTransport, Transport, WeirClient
from weir_sdk.kafka import KafkaTransport

pytestmark = pytest.mark.services


def transport_to(weir: Weir, kind: str) -> Transport:
    if kind == "http":
        return HttpTransport(weir.url)
    return KafkaTransport(
        weir.environment["KAFKA_BOOTSTRAP_SERVERS"],
        topic_prefix=weir.environment["WEIR_TOPIC_PREFIX"],
    )


@pytest.mark.parametrize("kind", ["http", "kafka"])
async def test_what_is_sent_is_counted_once(weir: Weir, kind: str) -> None:
    await weir.start_api()
    sink = weir.start_sink()
    client = WeirClient(transport=transport_to(weir, kind), flush_interval=0.05, batch_size=100)
    middleware = AnalyticsMiddleware(hello, client=client)
    expected = Counter[str]()
    for number in range(700):
        path = f"/products/{number % 7}"
        await ask(middleware, http_scope(path))
        expected[path] += 1
    for number in range(20):
        user = f"u-{number}" if number % 2 else None
        client.enqueue("conversion", "/signup", user_id=user)
        client.enqueue("searched", "/search")
    event_id = await client.conversion("/signup", user_id="u-1")
    assert await client.conversion("/signup", user_id="u-1", event_id=event_id) == event_id
    await client.close()
    expected.update({"/signup": 21, "/search": 20})
    counts = client.counts
    assert (counts.sent, counts.dropped, counts.rejected) == (742, 0, 0)

    async def all_counted() -> bool:
        found = await weir.summary()
        return sum(found.values()) >= expected.total()

    await weir.eventually(all_counted, process=sink)
    assert await weir.summary() == dict(expected)
    assert weir.query("SELECT count() FROM dead_letters") == [(0,)]
    [(distinct,)] = weir.query("SELECT uniqExact(event_id) FROM events")
    assert distinct == expected.total()


async def test_without_one_of_its_topics_nothing_of_a_batch_is_sent_or_in_doubt(
    weir: Weir, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than it may take: one attempt is made, and ends by itself.
    monkeypatch.setattr("weir_sdk.attempts.FIRST_PAUSE", 120)
    servers = weir.environment["KAFKA_BOOTSTRAP_SERVERS"]
    missing = weir.topic("custom-events")
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([missing])

        async def gone() -> bool:
            return missing not in await admin.list_topics()

        await weir.eventually(gone)
    finally:
        await admin.close()
    transport = KafkaTransport(
        servers, topic_prefix=weir.environment["WEIR_TOPIC_PREFIX"], request_timeout=1
    )
    client = WeirClient(
        transport=transport, flush_interval=3600, give_up_after=30, shutdown_timeout=30
    )
    client.enqueue("page_view", "/")
    client.enqueue("searched", "/")
    await client.close()
    assert (client.counts.dropped, client.counts.in_doubt) == (2, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        topic = topic_for("page_view")
        ends = await consumer.end_offsets(
            [TopicPartition(weir.topic(topic.name), each) for each in range(topic.partitions)]
        )
    finally:
        await consumer.stop()
    assert set(ends.values()) == {0}


async def test_weir_names_the_field_that_it_rejects(weir: Weir) -> None:
    await weir.start_api()
    async with WeirClient(weir.url) as client:
        # Nobody's clock is so wrong, and the client does not know Weir's.
        with pytest.raises(EventRejected) as rejected:
            await client.page_view("/", occurred_at=datetime(2100, 1, 1, tzinfo=UTC))
    assert rejected.value.field == "occurred_at"
    assert client.counts.rejected == 1


Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/weir/analytics/events", handler)
    async with TestServer(app) as running:
        yield str(running.make_url("/weir"))


def accepted(count: int) -> web.Response:
    document = {"accepted": count, "rejected": 0, "items": []}
    return web.json_response(document, status=202)


async def test_a_batch_is_one_compressed_request_with_the_key() -> None:
    seen: list[tuple[dict[str, str], list[Json]]] = []

    async def take(request: web.Request) -> web.Response:
        # The server has decompressed it already.
        events = orjson.loads(await request.read())
        seen.append((dict(request.headers), events))
        return accepted(len(events))

    async with server(take) as url:
        client = WeirClient(url, "wk_secret", flush_interval=3600)
        for number in range(3):
            client.enqueue("page_view", f"/{number}")
        await client.close()
        assert client.counts.sent == 3
    [(headers, events)] = seen
    assert [event["path"] for event in events] == ["/0", "/1", "/2"]
    assert headers["Authorization"] == "Bearer wk_secret"
    assert headers["Content-Encoding"] == "gzip"


async def test_a_weir_that_takes_no_gzip_gets_json() -> None:
    encodings: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        encodings.append(request.headers.get("Content-Encoding"))
        await request.read()
        return accepted(1) if encodings[-1] is None else web.Response(status=415)

    async with server(take) as url, WeirClient(url) as client:
        await client.page_view("/")
        await client.page_view("/")
    assert encodings == ["gzip", None, None]


async def test_retry_after_is_waited_for_and_the_ids_stay() -> None:
    seen: list[tuple[float, str]] = []

    async def take(request: web.Request) -> web.Response:
        [event] = orjson.loads(await request.read())
        seen.append((monotonic(), event["event_id"]))
        if len(seen) == 1:
            return web.Response(status=503, headers={"Retry-After": "1"})
        return accepted(1)

    async with server(take) as url, WeirClient(url) as client:
        event_id = await client.page_view("/")
    assert [each for _, each in seen] == [event_id, event_id]
    assert seen[1][0] - seen[0][0] >= 1


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "write key"), (404, "check the URL"), (413, "batch_size"), (302, "no reason")],
)
async def test_what_is_refused_for_good_is_dropped_with_advice(
    status: int, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with server(refuse) as url:
        client = WeirClient(url)
        client.enqueue("page_view", "/")
        await client.close()
    assert (client.counts.dropped, client.counts.in_doubt) == (1, 0)
    assert advice in caplog.text


async def test_a_202_of_something_else_is_no_confirmation() -> None:
    async def take(request: web.Request) -> web.Response:
        return web.Response(status=202, text="OK")

    async with server(take) as url:
        client = WeirClient(url)
        client.enqueue("page_view", "/")
        await client.close()
    assert (client.counts.sent, client.counts.dropped) == (0, 1)
