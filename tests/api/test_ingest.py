"""Events come in over HTTP, lie on Kafka in canonical form and come back as they were sent."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import orjson
import pytest

from schemas.decoding import WireEvent, decode_wire_event, is_canonical, latest_occurred_at
from schemas.partitioning import partition_for
from schemas.topics import CONVERSIONS, CUSTOM_EVENTS, PAGE_VIEWS, Topic
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, get, items, listed, post
from tests.weir import Json, Weir

pytestmark = pytest.mark.services


def own_path() -> str:
    return f"/{uuid4()}"


async def test_an_event_is_acknowledged_with_an_id_that_sorts_by_time(edge: Weir) -> None:
    before = datetime.now(UTC)
    ids = []
    for _ in range(3):
        status, answer = await edge.post(EVENTS, {"event_type": "page_view", "path": own_path()})
        assert status == 202
        assert answer.keys() == {"event_id"}
        ids.append(UUID(answer["event_id"]))
    assert [each.version for each in ids] == [7, 7, 7]
    assert ids == sorted(ids)
    made = datetime.fromtimestamp((ids[0].int >> 80) / 1000, UTC)
    assert before - timedelta(milliseconds=1) <= made <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("event", "topic", "key"),
    [
        ({"event_type": "page_view"}, PAGE_VIEWS, "event_id"),
        ({"event_type": "page_view", "user_id": "u-1"}, PAGE_VIEWS, "event_id"),
        ({"event_type": "conversion"}, CONVERSIONS, "event_id"),
        ({"event_type": "conversion", "user_id": "ü 1"}, CONVERSIONS, "user_id"),
        ({"event_type": "video.play", "user_id": "u-1"}, CUSTOM_EVENTS, "event_id"),
    ],
)
async def test_an_event_lies_on_its_topic_under_its_key_in_canonical_form(
    edge: Weir, topics: LogOfTopics, event: dict[str, Json], topic: Topic, key: str
) -> None:
    sent = {
        **event,
        "path": own_path(),
        "visitor_id": "v-1",
        "source": "web",
        "metadata": {"a": [1, {"b": "é"}]},
        "occurred_at": "2026-01-02T03:04:05.6789+02:00",
        "event_id": str(uuid4()).upper(),
    }
    before = await topics.ends()
    status, answer = await edge.post(EVENTS, sent)
    assert (status, answer) == (202, {"event_id": sent["event_id"].lower()})

    [(name, record)] = await topics.since(before)
    assert name == topic.name
    assert record.key is not None
    assert record.value is not None
    stored = decode_wire_event(record.value)
    assert is_canonical(stored, latest_occurred_at(datetime.now(UTC)))
    assert orjson.loads(record.value) == {
        **sent,
        "event_id": sent["event_id"].lower(),
        "occurred_at": "2026-01-02T01:04:05.678Z",
    }
    assert record.key.decode() == (stored.event_id if key == "event_id" else stored.user_id)
    assert record.partition == partition_for(record.key, topic.partitions)


async def test_an_event_without_a_time_happens_when_it_arrives(
    edge: Weir, topics: LogOfTopics
) -> None:
    before = await topics.ends()
    start = datetime.now(UTC)
    await edge.post(EVENTS, {"event_type": "page_view", "path": own_path()})
    end = datetime.now(UTC)
    [(_, record)] = await topics.since(before)
    assert record.value is not None
    occurred = datetime.fromisoformat(decode_wire_event(record.value).occurred_at or "")
    assert start - timedelta(milliseconds=1) <= occurred <= end


async def test_an_array_takes_the_good_events_and_names_the_field_of_each_bad_one(
    edge: Weir, topics: LogOfTopics
) -> None:
    path, given = own_path(), str(uuid4())
    good = {"event_type": "page_view", "path": path}
    before = await topics.ends()
    status, answer = await edge.post(
        EVENTS,
        [
            good,
            {**good, "path": ""},
            5,
            {**good, "event_id": given},
            {"path": path},
            {**good, "colour": "red"},
            {**good, "occurred_at": "yesterday"},
        ],
    )
    assert status == 202
    assert (answer["accepted"], answer["rejected"]) == (2, 5)
    assert [item["index"] for item in answer["items"]] == list(range(7))
    accepted = [item for item in answer["items"] if item["status"] == "accepted"]
    assert [item["index"] for item in accepted] == [0, 3]
    assert accepted[1]["event_id"] == given
    rejected = [item["error"] for item in answer["items"] if item["status"] == "rejected"]
    assert [error["field"] for error in rejected] == [
        "path",
        "",
        "event_type",
        "colour",
        "occurred_at",
    ]
    assert all(error["field"] in error["detail"] for error in rejected)
    assert "JSON object" in rejected[1]["detail"]

    published = [record.value for _, record in await topics.since(before)]
    assert {decode(value).event_id for value in published} == {
        item["event_id"] for item in accepted
    }


def decode(value: bytes | None) -> WireEvent:
    assert value is not None
    return decode_wire_event(value)


async def test_an_array_without_a_good_event_is_refused_item_by_item(
    edge: Weir, topics: LogOfTopics
) -> None:
    before = await topics.ends()
    status, answer = await edge.post(EVENTS, [{"path": "/"}, None])
    assert status == 422
    assert (answer["accepted"], answer["rejected"]) == (0, 2)
    assert [item["error"]["field"] for item in answer["items"]] == ["event_type", ""]
    assert await topics.ends() == before


async def test_a_thousand_events_fit_into_one_request(edge: Weir, topics: LogOfTopics) -> None:
    path = own_path()
    before = await topics.ends()
    events = [{"event_type": "page_view", "path": path, "user_id": str(n)} for n in range(1_000)]
    status, answer = await edge.post(EVENTS, events)
    assert (status, answer["accepted"]) == (202, 1_000)
    published = [decode(record.value) for _, record in await topics.since(before)]
    by_user = {event.user_id: event.event_id for event in published}
    assert [by_user[str(n)] for n in range(1_000)] == [i["event_id"] for i in answer["items"]]


async def summarised(weir: Weir, path: str) -> bool:
    return path in await weir.summary()


async def test_an_event_sent_again_counts_once(edge: Weir) -> None:
    path, event_id = own_path(), str(uuid4())
    event = {"event_type": "conversion", "path": path, "user_id": "u-1", "event_id": event_id}
    for body in (event, event, [event, event], {**event, "event_id": event_id.upper()}):
        status, _ = await edge.post(EVENTS, body)
        assert status == 202
    # Keyed by the same user, this lies behind the copies: once it is stored, they were judged.
    await edge.post(EVENTS, {**event, "event_id": str(uuid4()), "path": path + "/end"})
    await edge.eventually(partial(summarised, edge, path + "/end"))
    assert (await edge.summary())[path] == 1
    assert [item["event_id"] for item in await items(edge, path=path)] == [event_id]


METADATA = b'{"big": 123456789012345678901234567890,  "exact":1.10,\n"e":1E2,"esc":"\\u00e9\\/"}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_type":"page_view","path":"%b","metadata":%b}',
        b'[{"event_type":"page_view","path":"%b","metadata":%b}]',
        # A bad one beside it sends all of them through the slow lane.
        b'[{}, {"path":"%b", "metadata": %b ,"event_type":"page_view","user_id":null}]',
    ],
)
async def test_metadata_comes_back_to_the_byte(edge: Weir, body: bytes) -> None:
    path = own_path()
    answer = await post(edge, body % (path.encode(), METADATA))
    assert answer.status == 202, answer
    await edge.eventually(partial(listed, edge, 1, path=path))
    page = await get(edge, EVENTS, path=path)
    assert b'"metadata":' + METADATA + b"}" in page.body


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0b",
        "\x01\x1f\x7f",
        "line\r\nfeed\ttab",
        "back\\slash\\n\\",
        "quote'\"`",
        "{x:String}",
        "%00%s%%",
        "ünïcode 🐟 \u202e",
        "\\N",
    ],
)
async def test_strings_of_any_characters_are_kept_found_and_counted(edge: Weir, text: str) -> None:
    path = own_path() + text
    event = {
        "event_type": "page_view",
        "path": path,
        "user_id": text,
        "visitor_id": text,
        "source": text,
        "metadata": {text: text},
    }
    status, _ = await edge.post(EVENTS, event)
    assert status == 202
    await edge.eventually(partial(listed, edge, 1, path=path, user_id=text))
    [stored] = await items(edge, path=path, user_id=text)
    assert {name: stored[name] for name in event} == event
    # The rollup has it a moment after the table of events.
    await edge.eventually(partial(summarised, edge, path))
    assert (await edge.summary())[path] == 1
