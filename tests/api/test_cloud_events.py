"""CloudEvents over HTTP: each mode is taken as its specification says, and lies on Kafka alike."""

import gzip
from base64 import b64encode
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.v1.event import CloudEvent

from schemas.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE, cloud_event_id
from schemas.partitioning import partition_for
from schemas.topics import CONVERSIONS, CUSTOM_EVENTS, PAGE_VIEWS, Topic
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, JSON, Answer, ask, items, listed, post
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

STRUCTURED = {"Content-Type": MEDIA_TYPE}
BATCH = {"Content-Type": BATCH_MEDIA_TYPE}


def cloud_event(**changes: Json) -> dict[str, Json]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/shop",
        "type": "page_view",
        "subject": f"/{uuid4()}",
        **changes,
    }


def headers_of(event: dict[str, Json]) -> dict[str, str]:
    return {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}


async def send(weir: Weir, mode: str, event: dict[str, Json]) -> Answer:
    match mode:
        case "structured":
            return await ask(weir, "POST", EVENTS, orjson.dumps(event), STRUCTURED)
        case "batch":
            return await ask(weir, "POST", EVENTS, orjson.dumps([event]), BATCH)
        case _:
            body = orjson.dumps(event["data"]) if "data" in event else b""
            return await ask(weir, "POST", EVENTS, body, {**JSON, **headers_of(event)})


MODES = ("structured", "batch", "binary")


def event_id_in(answer: Answer) -> str:
    assert answer.status == 202, answer.body
    document = answer.json
    return str(document["items"][0]["event_id"] if "items" in document else document["event_id"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("change", "topic", "key"),
    [
        ({}, PAGE_VIEWS, None),
        ({"data": {"user_id": "u-1"}}, PAGE_VIEWS, None),
        ({"type": "conversion"}, CONVERSIONS, None),
        ({"type": "conversion", "data": {"user_id": "u-1"}}, CONVERSIONS, "u-1"),
        ({"type": "com.example.played", "data": {"user_id": "u-1"}}, CUSTOM_EVENTS, None),
    ],
)
async def test_it_lies_on_its_topic_under_its_id_as_a_cloud_event(
    edge: Weir,
    topics: LogOfTopics,
    mode: str,
    change: dict[str, Json],
    topic: Topic,
    key: str | None,
) -> None:
    sent = cloud_event(time="2026-01-02T03:04:05.678Z", tenant="x", **change)
    before = await topics.ends()
    answer = await send(edge, mode, sent)
    assert event_id_in(answer) == str(cloud_event_id("/shop", sent["id"]))

    [(name, record)] = await topics.since(before)
    assert name == topic.name
    assert record.key == (key or sent["id"]).encode()
    assert record.partition == partition_for(record.key, topic.partitions)
    read = from_kafka_event(KafkaMessage(dict(record.headers), None, record.value or b""))
    assert read.get_id() == sent["id"]
    assert read.get_source() == "/shop"
    assert read.get_type() == sent["type"]
    assert read.get_subject() == sent["subject"]
    assert read.get_time() == datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    assert read.get_extension("tenant") == "x"
    assert read.get_data() == sent.get("data", {})


@pytest.mark.parametrize("mode", MODES)
async def test_one_that_the_official_package_writes_is_stored(edge: Weir, mode: str) -> None:
    path = f'/{uuid4()} ü%41"'
    official = CloudEvent(
        {
            "id": 'é "1" %41',
            "source": f"https://example.com/{uuid4()}",
            "type": "page_view",
            "subject": path,
            "datacontenttype": "application/json",
            "tenant": "Łódź €",
        },
        {"visitor_id": "v-1", "metadata": {"a": 1}},
    )
    written = to_binary_event(official) if mode == "binary" else to_structured_event(official)
    body, headers = written.body, written.headers
    if mode == "batch":
        body, headers = b"[" + body + b"]", BATCH
    answer = await ask(edge, "POST", EVENTS, body, headers)
    event_id = event_id_in(answer)
    assert event_id == str(cloud_event_id(official.get_source(), official.get_id()))

    await edge.eventually(partial(listed, edge, 1, path=path))
    [stored] = await items(edge, path=path)
    assert stored["event_id"] == event_id
    assert stored["source"] == official.get_source()
    assert stored["visitor_id"] == "v-1"
    assert stored["metadata"] == {"cloudevent": {"tenant": "Łódź €"}, "a": 1}


async def test_one_sent_in_every_mode_counts_once(edge: Weir) -> None:
    event = cloud_event(type="conversion", data={"user_id": "u-1"})
    for mode in (*MODES, *MODES):
        event_id_in(await send(edge, mode, event))
    # Under the same user, this lies behind the copies: once it is stored, they were judged.
    last = cloud_event(type="conversion", data={"user_id": "u-1"})
    event_id_in(await send(edge, "structured", last))

    async def counted() -> bool:
        return last["subject"] in await edge.summary()

    await edge.eventually(counted)
    assert (await edge.summary())[event["subject"]] == 1


async def test_one_without_a_time_happens_when_it_arrives(edge: Weir, topics: LogOfTopics) -> None:
    before = await topics.ends()
    start = datetime.now(UTC).replace(microsecond=0)
    event_id_in(await send(edge, "structured", cloud_event()))
    [(_, record)] = await topics.since(before)
    time = datetime.fromisoformat(orjson.loads(record.value or b"")["time"])
    assert start <= time <= datetime.now(UTC)


async def test_data_in_base64(edge: Weir, topics: LogOfTopics) -> None:
    before = await topics.ends()
    data = b64encode(b'{"user_id":"u-1","metadata":{"exact":1.10}}').decode()
    event_id_in(await send(edge, "structured", cloud_event(data_base64=data)))
    [(_, record)] = await topics.since(before)
    assert b'"data":{"user_id":"u-1","metadata":{"exact":1.10}}' in (record.value or b"")


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json; charset=utf-8", "application/vnd.shop+json", "text/json"],
)
async def test_binary_mode_takes_any_type_of_json(edge: Weir, content_type: str) -> None:
    headers = {**headers_of(cloud_event()), "Content-Type": content_type}
    assert (await ask(edge, "POST", EVENTS, b'{"user_id":"u"}', headers)).status == 202


async def test_a_batch_is_answered_item_by_item(edge: Weir, topics: LogOfTopics) -> None:
    good = cloud_event()
    before = await topics.ends()
    answer = await ask(
        edge,
        "POST",
        EVENTS,
        orjson.dumps(
            [
                good,
                {**good, "id": ""},
                5,
                {"event_type": "page_view", "path": "/"},
                {**good, "data_base64": b64encode(b'{"path":"/a","path":"/b"}').decode()},
                {**good, "id": "2"},
            ]
        ),
        BATCH,
    )
    assert answer.status == 202
    result = answer.json
    assert (result["accepted"], result["rejected"]) == (2, 4)
    assert [item["status"] for item in result["items"]] == (
        ["accepted", *["rejected"] * 4, "accepted"]
    )
    errors = [item["error"] for item in result["items"] if "error" in item]
    assert [error["field"] for error in errors] == ["id", "", "specversion", "data_base64"]
    assert len(await topics.since(before)) == 2


async def test_cloud_events_among_events_are_told_their_type(edge: Weir) -> None:
    plain = {"event_type": "page_view", "path": f"/{uuid4()}"}
    answer = await post(edge, [plain, cloud_event()])
    assert answer.status == 202
    error = answer.json["items"][1]["error"]
    assert error["field"] == "specversion"
    assert MEDIA_TYPE in error["detail"]
    assert BATCH_MEDIA_TYPE in error["detail"]
    detail = (await post(edge, cloud_event())).problem(422, "specversion")["detail"]
    assert detail == error["detail"]


@pytest.mark.parametrize(
    ("headers", "body", "field", "says"),
    [
        (STRUCTURED, b"[]", "body", BATCH_MEDIA_TYPE),
        (STRUCTURED, orjson.dumps([cloud_event()]), "body", BATCH_MEDIA_TYPE),
        (BATCH, orjson.dumps(cloud_event()), "body", MEDIA_TYPE),
        (BATCH, b"[]", "body", "send 1 to 1000"),
        (STRUCTURED, b"5", "body", "must be a JSON object"),
        (STRUCTURED, b"{}", "specversion", "is required"),
        (STRUCTURED, orjson.dumps(cloud_event(specversion="0.3")), "specversion", "1.0"),
        (STRUCTURED, orjson.dumps(cloud_event(data={"colour": 1})), "data.colour", "metadata"),
        ({**JSON, "ce-id": "1"}, b"{}", "ce-specversion", "is required"),
        ({**JSON, "ce-specversion": "1.0"}, b"{}", "ce-id", "is required"),
        ({**JSON, **headers_of(cloud_event(id=""))}, b"{}", "ce-id", "must not be empty"),
        ({**JSON, **headers_of(cloud_event(id="%C0%A0"))}, b"{}", "ce-id", "is not UTF-8"),
        ({**JSON, **headers_of(cloud_event(tenant_id="x"))}, b"{}", "ce-tenant_id", "a to z"),
        ({**JSON, **headers_of(cloud_event(time="noon"))}, b"{}", "ce-time", "RFC 3339"),
        ({**JSON, **headers_of(cloud_event())}, b"[]", "data", "must be a JSON object"),
        ({**JSON, **headers_of(cloud_event())}, b'{"path":5}', "data.path", "a string"),
    ],
)
async def test_a_broken_one_names_its_field(
    edge: Weir, topics: LogOfTopics, headers: dict[str, str], body: bytes, field: str, says: str
) -> None:
    before = await topics.ends()
    assert says in (await ask(edge, "POST", EVENTS, body, headers)).problem(422, field)["detail"]
    assert await topics.ends() == before


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (STRUCTURED, b""),
        (STRUCTURED, b"{"),
        (BATCH, b"[{]"),
        ({**JSON, **headers_of(cloud_event())}, b"{"),
    ],
)
async def test_what_is_not_json(edge: Weir, headers: dict[str, str], body: bytes) -> None:
    (await ask(edge, "POST", EVENTS, body, headers)).problem(400, "body")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/cloudevents"},
        {"Content-Type": "application/cloudevents+avro"},
        {**headers_of(cloud_event()), "Content-Type": "text/plain"},
        {**headers_of(cloud_event()), "Content-Type": "application/octet-stream"},
    ],
)
async def test_other_types_are_not_taken(edge: Weir, headers: dict[str, str]) -> None:
    answer = await ask(edge, "POST", EVENTS, b"{}", headers)
    assert MEDIA_TYPE in answer.problem(415, "Content-Type")["detail"]


@pytest.mark.parametrize("mode", [*MODES, "plain", "plain batch"])
async def test_every_form_may_be_packed(edge: Weir, topics: LogOfTopics, mode: str) -> None:
    event = cloud_event(data={"user_id": "u-1"})
    plain = {"event_type": "page_view", "path": "/packed"}
    headers, document = {
        "structured": (STRUCTURED, event),
        "batch": (BATCH, [event]),
        "binary": ({**JSON, **headers_of(event)}, event["data"]),
        "plain": (JSON, plain),
        "plain batch": (JSON, [plain]),
    }[mode]
    before = await topics.ends()
    body = gzip.compress(orjson.dumps(document))
    answer = await ask(edge, "POST", EVENTS, body, {**headers, "Content-Encoding": "gzip"})
    assert answer.status == 202, answer.body
    assert len(await topics.since(before)) == 1
