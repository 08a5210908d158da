"""A CloudEvent on Kafka becomes the row of its event, in either mode, or a reason."""

from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from aiokafka.structs import TopicPartition
from cloudevents.core.bindings.kafka import KafkaMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from schemas.cloud_events import cloud_event_id
from schemas.topics import CONVERSIONS, CUSTOM_EVENTS, PAGE_VIEWS, Topic
from streams.records import Headers
from streams.sink.messages import any_cloud_event
from streams.sink.records import Made, Source
from streams.sink.rows import EVENT_COLUMNS, event_rows

ATTRIBUTES = {"id": "A-1", "source": "/shop", "type": "page_view", "subject": "/cart"}
TIME = datetime(2026, 11, 1, tzinfo=UTC)
DATA = {"visitor_id": "v-1", "metadata": {"a": 1}}
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json")]


@dataclass(frozen=True)
class Message:
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    offset: int = 42
    timestamp: int = 1_795_000_000_123


def record(message: KafkaMessage, key: bytes) -> Message:
    return Message(key, message.value, list(message.headers.items()))


def both_modes(key: bytes = b"A-1", **changes: object) -> list[Message]:
    """The CloudEvent as the official package writes it, structured and binary."""
    attributes = {**ATTRIBUTES, "datacontenttype": "application/json", "time": TIME, **changes}
    event = CloudEvent(attributes, DATA)
    written = [write(event) for write in (to_structured_event, to_binary_event)]
    return [record(message, key) for message in written]


def rows_of(topic: Topic, *records: Message) -> Made:
    return event_rows(topic, Source(TopicPartition(topic.name, 3), 7), records)


def reason(topic: Topic, message: Message) -> tuple[str, str]:
    made = rows_of(topic, message)
    assert made.rows == []
    [(_, failure)] = made.invalid
    return failure.reason, failure.detail


def test_both_modes_give_the_row_of_the_event() -> None:
    structured, binary = both_modes()
    made = rows_of(PAGE_VIEWS, structured, binary)
    assert made.invalid == []
    assert made.rows[0] == made.rows[1]
    event_id = cloud_event_id("/shop", "A-1")
    assert made.ids == [event_id.bytes] * 2
    row = dict(zip(EVENT_COLUMNS, made.rows[0], strict=True))
    assert row["event_id"] == str(event_id)
    assert row["path"] == "/cart"
    assert row["visitor_id"] == "v-1"
    assert row["source"] == "/shop"
    assert orjson.loads(str(row["metadata"])) == {"a": 1}


def test_a_repeated_batch_is_the_same() -> None:
    bare = replace(both_modes()[0], headers=())
    plain = page_view()
    batch = [*both_modes(), bare, plain, *both_modes(key=b"wrong")]
    assert rows_of(PAGE_VIEWS, *batch) == rows_of(PAGE_VIEWS, *batch)


def page_view(**changes: object) -> Message:
    event_id = str(uuid4())
    event = {"event_id": event_id, "event_type": "page_view", "path": "/a", **changes}
    return Message(event_id.encode(), orjson.dumps(event))


def test_a_structured_one_needs_no_header() -> None:
    structured, _ = both_modes()
    assert rows_of(PAGE_VIEWS, replace(structured, headers=())).rows == (
        rows_of(PAGE_VIEWS, structured).rows
    )


def test_the_word_specversion_within_an_event_makes_no_cloud_event_of_it() -> None:
    assert len(rows_of(PAGE_VIEWS, page_view(metadata={"specversion": "1.0"})).rows) == 1


def test_a_binary_one_whose_data_looks_like_an_event_is_not_taken_for_it() -> None:
    plain = page_view()
    headers = [("ce_specversion", b"1.0"), ("ce_id", plain.key), ("ce_source", b"/s")]
    headers.append(("ce_type", b"page_view"))
    disguised = replace(plain, headers=headers)
    reason_, detail = reason(PAGE_VIEWS, disguised)
    assert reason_ == "invalid_field"
    assert detail.startswith("data.event_")


def test_other_headers_leave_an_event_an_event_and_in_the_fast_lane() -> None:
    traced = [replace(page_view(), headers=[("traceparent", b"00-1"), ("x", None)])] * 2
    assert not any_cloud_event(traced)
    assert len(rows_of(PAGE_VIEWS, *traced).rows) == 2
    assert any_cloud_event([*traced, both_modes()[1]])


def test_a_binary_one_without_a_value_needs_none() -> None:
    _, binary = both_modes()
    assert len(rows_of(PAGE_VIEWS, replace(binary, value=None)).rows) == 1
    assert len(rows_of(PAGE_VIEWS, replace(binary, value=b"")).rows) == 1


def test_its_key_is_its_id_and_a_conversions_the_user() -> None:
    for message in both_modes(key=cloud_event_id("/shop", "A-1").bytes):
        assert reason(PAGE_VIEWS, message) == (
            "wrong_key",
            "the message key must be the CloudEvent's id: A-1",
        )
    for message in both_modes(type="conversion"):
        assert len(rows_of(CONVERSIONS, message).rows) == 1
        named = replace(
            message,
            value=(message.value or b"").replace(b'"visitor_id"', b'"user_id"'),
        )
        assert reason(CONVERSIONS, named) == (
            "wrong_key",
            "the message key must be the CloudEvent's user_id, or id when nobody is named: v-1",
        )
        assert len(rows_of(CONVERSIONS, replace(named, key=b"v-1")).rows) == 1


def test_it_belongs_on_the_topic_of_its_type() -> None:
    for message in both_modes(type="com.example.played"):
        assert len(rows_of(CUSTOM_EVENTS, message).rows) == 1
        assert reason(PAGE_VIEWS, message)[0] == "wrong_topic"


@pytest.mark.parametrize(
    ("headers", "value", "detail"),
    [
        (STRUCTURED, b"{", "is not JSON"),
        (STRUCTURED, None, "is not JSON"),
        (STRUCTURED, b"[]", "must be a JSON object"),
        (STRUCTURED, b"{}", "specversion is required"),
        ([("content-type", b"application/cloudevents-batch+json")], b"[]", "content-type is"),
        ([("content-type", b"application/cloudevents+avro")], b"\x00", "content-type is"),
        ([("ce_id", b"A-1")], b"{}", "ce_specversion is required"),
        ([("ce_specversion", b"1.0")], b"{}", "ce_id is required"),
        ([("ce_specversion", b"1.0"), ("ce_id", None)], b"{}", "ce_id must not be empty"),
        ([("ce_specversion", b"1.0"), ("ce_id", b"\xff")], b"{}", "ce_id is not UTF-8"),
        ([("ce_id", b"1"), ("ce_id", b"2")], b"{}", "ce_id is given twice"),
        ([("ce_id", b"1"), ("content-type", b"text/plain")], b"{}", "ce_specversion is required"),
    ],
)
def test_a_broken_one_names_its_header(headers: Headers, value: bytes | None, detail: str) -> None:
    reason_, said = reason(PAGE_VIEWS, Message(b"A-1", value, headers))
    assert reason_ in {"not_json", "invalid_field"}
    assert detail in said


@pytest.mark.parametrize("number", ["1e999", "-1E+999", "9" * 400, "1" + "0" * 5_000])
def test_a_number_beyond_doubles_is_kept_in_the_metadata_of_every_form(number: str) -> None:
    metadata = f'{{"a":{number}}}'
    data = f'{{"path":"/p","metadata":{metadata}}}'
    bare = f'{{"specversion":"1.0","id":"A-1","source":"/s","type":"page_view","data":{data}}}'
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"A-1"), ("ce_source", b"/s")]
    headers.append(("ce_type", b"page_view"))
    plain = page_view(metadata=None)
    messages = [
        replace(plain, value=(plain.value or b"").replace(b"null", metadata.encode())),
        Message(b"A-1", bare.encode()),
        Message(b"A-1", bare.encode(), STRUCTURED),
        Message(b"A-1", data.encode(), headers),
        Message(
            b"A-1",
            orjson.dumps(
                {
                    "specversion": "1.0",
                    "id": "A-1",
                    "source": "/s",
                    "type": "page_view",
                    "data_base64": b64encode(data.encode()).decode(),
                }
            ),
        ),
    ]
    for message in messages:
        made = rows_of(PAGE_VIEWS, message)
        assert made.invalid == []
        [row] = made.rows
        assert dict(zip(EVENT_COLUMNS, row, strict=True))["metadata"] == metadata


def test_a_number_beyond_doubles_is_no_whole_number_of_an_extension() -> None:
    for number in ("1e999", "9" * 400):
        text = f'{{"specversion":"1.0","id":"A-1","source":"/s","type":"page_view","n":{number}}}'
        assert reason(PAGE_VIEWS, Message(b"A-1", text.encode())) == (
            "invalid_field",
            "n must be a string, a boolean or a whole number of 32 bits",
        )


@pytest.mark.parametrize("value", [b'["specversion"]', b'"specversion"', b'{"a":"specversion"}'])
def test_what_only_holds_the_word_is_no_cloud_event(value: bytes) -> None:
    assert "specversion" not in reason(PAGE_VIEWS, Message(b"A-1", value))[1]
