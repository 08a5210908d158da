"""The same events count the same, whichever way they come in."""

import asyncio
import gzip
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid5

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import KafkaError, Message, Producer

from schemas.cloud_events import BATCH_MEDIA_TYPE
from schemas.partitioning import partition_for
from schemas.topics import PAGE_VIEWS, event_key, topic_for
from tests.api.requests import EVENTS, JSON, ask
from tests.programs import required_program
from tests.services import Services
from tests.weir import Json, Weir, all_taken, throwaway_weir
from weir_sdk import AnalyticsMiddleware, WeirClient
from weir_sdk.kafka import KafkaTransport

pytestmark = pytest.mark.services

COUNTED: Final[Mapping[str, str]] = {"bots": "include"}
"""Parameters of the summary with which it counts all that came in."""

BATCH: Final = 20
NAMESPACE: Final = UUID("7a3f6b7c-53f5-4d5c-8a55-0c7d6a0d9c11")
START: Final = datetime(2026, 11, 1, tzinfo=UTC)

Event = dict[str, Json]
Summary = dict[str, tuple[int, int]]
Sender = Callable[[Weir, Sequence[Event]], Awaitable[None]]


def events_of(way: str) -> list[Event]:
    """Page views, conversions and others, some of them twice; paths and ids are the way's own."""
    events: list[Event] = []
    for number in range(60):
        event: Event = {
            "event_id": str(uuid5(NAMESPACE, f"{way} {number}")),
            "occurred_at": (START + timedelta(minutes=7 * number)).isoformat(),
            "source": "ways-in",
        }
        match number % 6:
            case 0 | 1 | 2:
                event["event_type"] = "page_view"
                event["path"] = f"/{way}/page/{number % 5}"
                event["visitor_id"] = f"v-{number % 7}"
            case 3:
                event["event_type"] = "conversion"
                event["path"] = f"/{way}/signup"
                event["user_id"] = f"ü {number % 4}"
                event["metadata"] = {"plan": "team ✓", "nested": [1, {"a": None}]}
            case 4:
                event["event_type"] = "conversion"
                event["path"] = f"/{way}/purchase"
                event["visitor_id"] = f"v-{number % 7}"
            case _:
                event["event_type"] = "video.play"
                event["path"] = f"/{way}/video"
        events.append(event)
    return events + events[10:25] + events[::9]


def expected_of(way: str) -> Summary:
    """Path → count and visitors, as anyone would count them."""
    visitors: dict[str, set[str]] = defaultdict(set)
    ids: dict[str, set[str]] = defaultdict(set)
    for event in events_of(way):
        ids[event["path"]].add(event["event_id"])
        if visitor := event.get("visitor_id", event.get("user_id")):
            visitors[event["path"]].add(visitor)
    return {path: (len(ids[path]), len(visitors[path])) for path in ids}


def batches(events: Sequence[Event]) -> list[Sequence[Event]]:
    return [events[start : start + BATCH] for start in range(0, len(events), BATCH)]


def cloud_event(event: Event) -> CloudEvent:
    data: dict[str, Json] = {
        name: event[name] for name in ("user_id", "visitor_id", "metadata") if name in event
    }
    return CloudEvent(
        {
            "id": event["event_id"],
            "source": event["source"],
            "type": event["event_type"],
            "subject": event["path"],
            "time": datetime.fromisoformat(event["occurred_at"]),
            "datacontenttype": "application/json",
        },
        data,
    )


@dataclass(frozen=True)
class Outgoing:
    """A message as a producer sends it, to a topic of the registry."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def outgoing(event: Event) -> Outgoing:
    topic = topic_for(event["event_type"])
    key = event_key(topic, event["event_id"], event.get("user_id"))
    return Outgoing(topic.name, key, orjson.dumps(event))


def outgoing_cloud_event(
    write: Callable[[CloudEvent], kafka.KafkaMessage], event: Event
) -> Outgoing:
    message = write(cloud_event(event))
    plain = outgoing(event)
    return Outgoing(plain.topic, plain.key, message.value, tuple(message.headers.items()))


async def accepted(
    weir: Weir, body: bytes, headers: Mapping[str, str], events: int | None = None
) -> None:
    answer = await ask(weir, "POST", EVENTS, body, headers)
    assert answer.status == 202, answer.body
    if events is not None:
        assert answer.json["accepted"] == events, answer.body


async def http_one_by_one(weir: Weir, events: Sequence[Event]) -> None:
    for event in events:
        await accepted(weir, orjson.dumps(event), JSON)


async def http_in_batches(weir: Weir, events: Sequence[Event]) -> None:
    for batch in batches(events):
        await accepted(weir, orjson.dumps(batch), JSON, len(batch))


async def http_packed(weir: Weir, events: Sequence[Event]) -> None:
    for batch in batches(events):
        headers = {**JSON, "Content-Encoding": "gzip"}
        await accepted(weir, gzip.compress(orjson.dumps(batch)), headers, len(batch))


async def http_cloud_events(
    write: Callable[[CloudEvent], http.HTTPMessage], weir: Weir, events: Sequence[Event]
) -> None:
    for event in events:
        message = write(cloud_event(event))
        await accepted(weir, message.body, message.headers)


async def http_cloud_events_in_batches(weir: Weir, events: Sequence[Event]) -> None:
    for batch in batches(events):
        written = [http.to_structured_event(cloud_event(event)).body for event in batch]
        body = b"[" + b",".join(written) + b"]"
        await accepted(weir, body, {"Content-Type": BATCH_MEDIA_TYPE}, len(batch))


async def aiokafka(make: Callable[[Event], Outgoing], weir: Weir, events: Sequence[Event]) -> None:
    producer = AIOKafkaProducer(**weir.kafka.client_arguments(), enable_idempotence=True)
    async with producer:
        sent = [
            await producer.send(
                weir.topic(message.topic),
                key=message.key.encode(),
                value=message.value,
                headers=list(message.headers),
            )
            for message in map(make, events)
        ]
        await asyncio.gather(*sent)


async def confluent_kafka(
    make: Callable[[Event], Outgoing], weir: Weir, events: Sequence[Event]
) -> None:
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    producer = Producer(
        {
            **weir.librdkafka,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
        }
    )
    for message in map(make, events):
        producer.produce(
            weir.topic(message.topic),
            key=message.key,
            value=message.value,
            headers=list(message.headers),
            on_delivery=delivered,
        )
    assert await asyncio.to_thread(producer.flush, 30) == 0
    assert failures == []


async def kcat(
    make: Callable[[Event], Outgoing],
    headers: Sequence[str],
    weir: Weir,
    events: Sequence[Event],
) -> None:
    lines: dict[str, list[bytes]] = defaultdict(list)
    for message in map(make, events):
        lines[message.topic].append(message.key.encode() + b"\t" + message.value + b"\n")
    for topic, messages in lines.items():
        process = await asyncio.create_subprocess_exec(
            required_program("kcat"),
            *("-P", *weir.kcat_options),
            *("-t", weir.topic(topic), "-K", r"\t"),
            *("-X", "topic.partitioner=murmur2_random"),
            *(argument for header in headers for argument in ("-H", header)),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(b"".join(messages)), 30)
        assert process.returncode == 0, errors.decode()


def over_http(weir: Weir) -> WeirClient:
    return WeirClient(weir.url, source="ways-in")


def over_kafka(weir: Weir) -> WeirClient:
    server = weir.kafka.client_arguments()
    transport = KafkaTransport(
        server["bootstrap_servers"],
        topic_prefix=weir.environment["WEIR_TOPIC_PREFIX"],
        security_protocol=server["security_protocol"],
        ssl_context=server["ssl_context"],
        sasl_mechanism=server["sasl_mechanism"],
        sasl_username=server["sasl_plain_username"],
        sasl_password=server["sasl_plain_password"],
    )
    return WeirClient(transport=transport, source="ways-in")


async def sdk_sends(
    client: Callable[[Weir], WeirClient], weir: Weir, events: Sequence[Event]
) -> None:
    async with client(weir) as sending:
        for event in events:
            sending.enqueue(
                event["event_type"],
                event["path"],
                **{
                    name: event[name]
                    for name in ("event_id", "user_id", "visitor_id", "metadata")
                    if name in event
                },
                occurred_at=datetime.fromisoformat(event["occurred_at"]),
            )
    counts = sending.counts
    assert (counts.sent, counts.rejected, counts.dropped) == (counts.recorded, 0, 0), counts


async def middleware_records(
    client: Callable[[Weir], WeirClient], weir: Weir, events: Sequence[Event]
) -> None:
    """Page views as a browser causes them, once each; code sends the others."""

    async def page(scope: object, receive: object, send: Callable[..., Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ignore(_: object) -> None:
        pass

    shared = client(weir)
    application = AnalyticsMiddleware(page, client=shared)
    seen = set()
    for event in events:
        if event["event_type"] != "page_view" or event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        scope = {
            "type": "http",
            "method": "GET",
            "path": event["path"],
            "raw_path": event["path"].encode(),
            "root_path": "",
            "query_string": b"",
            "client": ("192.0.2.1", 1234),
            "headers": [(b"host", b"shop.test"), (b"user-agent", event["visitor_id"].encode())],
        }
        await application(scope, receive, ignore)
    rest = [event for event in events if event["event_type"] != "page_view"]
    await sdk_sends(lambda _: shared, weir, rest)


WAYS: Final[dict[str, Sender]] = {
    "http-one-by-one": http_one_by_one,
    "http-in-batches": http_in_batches,
    "http-packed": http_packed,
    "http-cloudevents-structured": partial(http_cloud_events, http.to_structured_event),
    "http-cloudevents-binary": partial(http_cloud_events, http.to_binary_event),
    "http-cloudevents-in-batches": http_cloud_events_in_batches,
    "aiokafka": partial(aiokafka, outgoing),
    "aiokafka-cloudevents-structured": partial(
        aiokafka, partial(outgoing_cloud_event, kafka.to_structured_event)
    ),
    "aiokafka-cloudevents-binary": partial(
        aiokafka, partial(outgoing_cloud_event, kafka.to_binary_event)
    ),
    "confluent-kafka": partial(confluent_kafka, outgoing),
    "confluent-kafka-cloudevents-structured": partial(
        confluent_kafka, partial(outgoing_cloud_event, kafka.to_structured_event)
    ),
    "confluent-kafka-cloudevents-binary": partial(
        confluent_kafka, partial(outgoing_cloud_event, kafka.to_binary_event)
    ),
    "kcat": partial(kcat, outgoing, ()),
    "kcat-cloudevents-structured": partial(
        kcat,
        partial(outgoing_cloud_event, kafka.to_structured_event),
        ("content-type=application/cloudevents+json",),
    ),
    "sdk-client-http": partial(sdk_sends, over_http),
    "sdk-client-kafka": partial(sdk_sends, over_kafka),
    "sdk-middleware-http": partial(middleware_records, over_http),
    "sdk-middleware-kafka": partial(middleware_records, over_kafka),
}
AS_EVENTS: Final = [way for way in WAYS if "cloudevents" not in way and "middleware" not in way]
AS_CLOUD_EVENTS: Final = [way for way in WAYS if "cloudevents" in way]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir with API and sink for all ways; each has paths and ids of its own."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("ways")) as weir:
        weir.start_sink()
        await weir.start_api()
        yield weir


async def counted(weir: Weir, way: str) -> Summary:
    """What the summary says of a way's paths, once all that was sent is stored."""
    await weir.eventually(partial(all_taken, weir))
    status, document = await weir.get("/analytics/summary", limit=10_000, **COUNTED)
    assert status == 200, document
    return {
        item["path"]: (item["count"], item["visitors"])
        for item in document["items"]
        if item["path"].startswith(f"/{way}/")
    }


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_events_give_the_same_summary(running: Weir, way: str) -> None:
    expected = expected_of(way)
    assert len(expected) == 8
    await WAYS[way](running, events_of(way))
    assert await counted(running, way) == expected
    assert running.query("SELECT reason, detail FROM dead_letters") == []


@pytest.mark.parametrize(
    ("name", "ways"), [("as-events", AS_EVENTS), ("as-cloudevents", AS_CLOUD_EVENTS)]
)
async def test_copies_meet_whichever_way_each_of_them_comes(
    running: Weir, name: str, ways: list[str]
) -> None:
    assert len(ways) > 6
    for way in ways:
        await WAYS[way](running, events_of(name))
    assert await counted(running, name) == expected_of(name)


async def partitions_of(running: Weir, partitioner: str) -> list[int | None]:
    """Where librdkafka puts twenty events, in order."""
    found: list[int | None] = []

    def delivered(_: KafkaError | None, message: Message) -> None:
        found.append(message.partition())

    producer = Producer(
        {
            **running.librdkafka,
            "partitioner": partitioner,
        }
    )
    for number in range(20):
        event = {**events_of("elsewhere")[0], "event_id": str(UUID(int=number))}
        message = outgoing(event)
        topic = running.topic(message.topic)
        producer.produce(topic, key=message.key, value=message.value, on_delivery=delivered)
        assert await asyncio.to_thread(producer.flush, 30) == 0
    return found


async def test_librdkafkas_own_partitioner_sends_keys_elsewhere(running: Weir) -> None:
    """Which is why the documents tell to set another one: copies might count twice."""
    by_java = [
        partition_for(str(UUID(int=number)).encode(), PAGE_VIEWS.partitions) for number in range(20)
    ]
    assert await partitions_of(running, "murmur2_random") == by_java
    assert await partitions_of(running, "consistent_random") != by_java
