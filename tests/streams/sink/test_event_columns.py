"""What is checked by columns is what is checked one by one."""

from dataclasses import dataclass

import orjson
import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import CONVERSIONS, CUSTOM_EVENTS, PAGE_VIEWS, Topic
from streams.records import Headers
from streams.sink.event_columns import rows_of_usual_events, uuids
from streams.sink.records import Source
from streams.sink.rows import _single_rows, event_rows

ARRIVED = 1_795_000_000_123
LATEST = "2026-11-19T11:06:40.123Z"
usual_times = st.sampled_from(["2026-11-01T00:00:00.500Z", "1970-01-01T00:00:00.000Z", LATEST])
odd_times = st.sampled_from(
    [
        "2026-02-30T00:00:00.000Z",
        "2026-11-01T24:00:00.000Z",
        "2026-11-01T00:60:00.000Z",
        "2026-11-01T00:00:60.000Z",
        "2026-11-01T30:00:00.000Z",
        "2026-W48-2T09:30:00.000Z",
        "2026-11-01 00:00:00.000Z",
        "2026-11-01T00:00:00,000Z",
        "2026-11-01T00:00:00.00²Z",
        "2026-11-19T11:06:40.124Z",
        "2026-11-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
    ]
)
texts = st.text(min_size=1, max_size=4)


@dataclass(frozen=True)
class Message:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, object]:
    deep: object = draw(texts)
    for _ in range(draw(st.integers(0, 20))):
        deep = [deep]
    return {draw(texts): deep}


@st.composite
def messages(draw: st.DrawFn, *, odd: bool) -> Message:
    event_id = str(draw(st.uuids()))
    fields: dict[str, object] = {
        "event_id": event_id,
        "event_type": draw(st.sampled_from(["page_view", "conversion", "custom", "a/b"])),
        "path": draw(texts),
        "occurred_at": draw(usual_times),
    }
    for name in ("user_id", "visitor_id", "source"):
        if draw(st.booleans()):
            fields[name] = draw(texts)
    if draw(st.booleans()):
        fields["metadata"] = draw(metadata())
    key = fields.get("user_id", event_id) if fields["event_type"] == "conversion" else event_id
    if odd:
        match draw(st.integers(0, 6)):
            case 0:
                fields["occurred_at"] = draw(odd_times)
            case 1:
                fields["event_id"] = event_id.upper()
            case 2:
                fields["event_id"] = event_id[:-1]
            case 3:
                key = "another"
            case 4:
                fields["metadata"] = [1]
            case 5:
                del fields["occurred_at"]
            case 6:
                fields["event_type"] = "no type"
    return Message(draw(st.integers(0, 99)), ARRIVED, str(key).encode(), orjson.dumps(fields))


@given(
    st.sampled_from([PAGE_VIEWS, CONVERSIONS, CUSTOM_EVENTS]),
    st.lists(messages(odd=False), min_size=1, max_size=5),
    st.lists(messages(odd=True), max_size=1),
)
@settings(max_examples=800)
def test_columns_and_single_events_give_the_same_rows(
    topic: Topic, usual: list[Message], odd: list[Message]
) -> None:
    source = Source(TopicPartition("a-topic", 3), 7)
    for records in (usual, usual + odd):
        together = rows_of_usual_events(topic, source, records, LATEST)
        singly = _single_rows(topic, source, records)
        assert event_rows(topic, source, records) == singly
        if together is not None:
            assert together == singly


def test_usual_events_are_taken_by_columns() -> None:
    key = "0192d2ab-0000-7000-8000-0000000000ff"
    value = orjson.dumps(
        {
            "event_id": key,
            "event_type": "page_view",
            "path": "/",
            "occurred_at": "2026-11-01T00:00:00.500Z",
        }
    )
    records = [Message(number, ARRIVED, key.encode(), value) for number in range(3)]
    made = rows_of_usual_events(PAGE_VIEWS, Source(TopicPartition("t", 0), 7), records, LATEST)
    assert made is not None
    assert len(made.rows) == 3


def test_two_texts_that_only_together_look_like_uuids_are_refused() -> None:
    first, second = "0192d2ab-0000-7000-8000-0000000000ff", "0192d2ab-0000-7000-8000-0000000000fe"
    assert uuids([first, second]) is not None
    assert uuids([first[:-1], "f" + second]) is None
    assert uuids([first, second.upper()]) is None
    assert uuids(["0192d2ab-0000-7000-8000-00000000 0ff", second]) is None


def page_view(metadata: bytes) -> Message:
    key = "0192d2ab-0000-7000-8000-0000000000ff"
    value = (
        b'{"event_id":"%b","event_type":"page_view","path":"/",'
        b'"occurred_at":"2026-11-01T00:00:00.500Z","metadata":%b}' % (key.encode(), metadata)
    )
    return Message(1, ARRIVED, key.encode(), value)


@pytest.mark.parametrize("number", ["1e999", "-1E+999", "9" * 400, "1" + "0" * 5_000, "1e-999"])
def test_numbers_beyond_a_double_are_kept_whatever_the_neighbours_are(number: str) -> None:
    metadata = f'{{"a":{number},"b":"1e999"}}'
    source = Source(TopicPartition("t", 0), 7)
    alone = event_rows(PAGE_VIEWS, source, [page_view(metadata.encode())])
    assert alone.invalid == []
    assert metadata in alone.rows[0]
    beside = event_rows(PAGE_VIEWS, source, [page_view(metadata.encode()), page_view(b"[]")])
    assert beside.rows == alone.rows


@pytest.mark.parametrize("number", ["NaN", "Infinity", "01", "1e", "1e999x", "-", "+1e999"])
def test_what_is_no_number_is_still_no_json(number: str) -> None:
    made = event_rows(
        PAGE_VIEWS, Source(TopicPartition("t", 0), 7), [page_view(b'{"a":%b}' % number.encode())]
    )
    assert [failure.reason for _, failure in made.invalid] == ["not_json"]


@pytest.mark.parametrize("levels", [17, 200, 254, 900, 990, 1_000, 1_024, 1_100, 100_000])
@pytest.mark.parametrize(
    "form", [b'{"a":%b,"event_type":"page_view"}', b'{"specversion":"1.0","data":%b}', b"%b"]
)
def test_no_depth_is_too_much_for_the_sink(levels: int, form: bytes) -> None:
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    source = Source(TopicPartition("t", 0), 7)
    key = b"0192d2ab-0000-7000-8000-0000000000ff"
    message = Message(1, ARRIVED, key, form % deep)
    made = event_rows(PAGE_VIEWS, source, [message, page_view(deep), page_view(b"{}")])
    assert len(made.rows) == 1
    assert {failure.reason for _, failure in made.invalid} <= {"not_json", "invalid_field"}
