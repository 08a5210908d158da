"""A message becomes a row or a reason, always the same one."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.dead_letters import DeadLetter, dead_letter_action
from schemas.topics import CONVERSIONS, CUSTOM_EVENTS, DEAD_LETTERS, PAGE_VIEWS, TOPICS, Topic
from streams.dead_letters import dead_letter
from streams.failures import Invalid
from streams.records import Headers
from streams.sink.batches import Position, Span, position_from
from streams.sink.records import Made, Row, Source
from streams.sink.rows import (
    ACTION_COLUMNS,
    DEAD_LETTER_COLUMNS,
    DESTINATIONS,
    EVENT_COLUMNS,
    action_rows,
    dead_letter_rows,
    encode_rows,
    event_rows,
)

PARTITION = TopicPartition("page-views", 3)
LETTERS = TopicPartition("dead-letters", 0)
ID = "0192d2ab-0000-7000-8000-0000000000ff"


@dataclass
class Message:
    offset: int = 42
    timestamp: int = 1_795_000_000_123
    key: bytes | None = ID.encode()
    value: bytes | None = b""
    headers: Headers = ()


def page_view(**fields: object) -> bytes:
    return orjson.dumps({"event_id": ID, "event_type": "page_view", "path": "/a", **fields})


def rows_of(topic: Topic, *records: Message) -> Made:
    return event_rows(topic, Source(TopicPartition(topic.name, 3), 7), records)


def only(record: Message) -> Row | Invalid:
    made = rows_of(PAGE_VIEWS, record)
    assert len(made.rows) == len(made.ids)
    assert len(made.rows) + len(made.invalid) == 1
    return made.rows[0] if made.rows else made.invalid[0][1]


def test_a_full_event_becomes_a_row_column_by_column() -> None:
    record = Message(
        value=page_view(
            user_id="u",
            visitor_id="v",
            source="web",
            occurred_at="2026-11-01T00:00:00.500Z",
            metadata={"status": 200, "country": "de", "referrer": "https://www.example.org/a"},
        )
    )
    row = only(record)
    assert not isinstance(row, Invalid)
    assert dict(zip(EVENT_COLUMNS, row, strict=True)) == {
        "event_id": ID,
        "event_type": "page_view",
        "path": "/a",
        "user_id": "u",
        "visitor_id": "v",
        "source": "web",
        "occurred_at": "2026-11-01T00:00:00.500Z",
        "received_at": 1_795_000_000.123,
        "metadata": '{"status":200,"country":"de","referrer":"https://www.example.org/a"}',
        "bot": False,
        "device": "",
        "browser": "",
        "os": "",
        "referrer": "example.org",
        "country": "DE",
        "status": "200",
        "method": "",
        "route": "",
        "topic": "page-views",
        "partition": 3,
        "incarnation": 7,
        "offset": 42,
    }


def test_an_event_without_a_time_occurred_when_it_arrived() -> None:
    row = only(Message(value=page_view()))
    assert not isinstance(row, Invalid)
    assert row[EVENT_COLUMNS.index("occurred_at")] == "2026-11-18T11:06:40.123Z"


def test_zones_and_capitals_become_canonical() -> None:
    record = Message(value=page_view(event_id=ID.upper(), occurred_at="2026-11-01T02:00:00+02:00"))
    row = only(record)
    assert not isinstance(row, Invalid)
    assert row[0] == ID
    assert row[EVENT_COLUMNS.index("occurred_at")] == "2026-11-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": None}, "empty"),
        ({"value": b""}, "not_json"),
        ({"value": b"{"}, "not_json"),
        ({"value": b"\xff\xfe"}, "not_json"),
        ({"value": b"[]"}, "invalid_field"),
        ({"value": page_view(path="")}, "invalid_field"),
        ({"value": page_view(extra=1)}, "invalid_field"),
        ({"value": page_view(occurred_at="2027-01-01T00:00:00.000Z")}, "invalid_field"),
        ({"value": page_view(event_type="conversion")}, "wrong_topic"),
        ({"value": page_view(), "key": b"another"}, "wrong_key"),
        ({"value": page_view(), "key": None}, "wrong_key"),
    ],
)
def test_each_poison_has_its_reason(change: dict[str, bytes | None], reason: str) -> None:
    row = only(replace(Message(), **change))  # type: ignore[arg-type] # fields by name
    assert isinstance(row, Invalid)
    assert row.reason == reason


def test_how_late_an_event_may_lie_in_the_future_is_judged_by_its_own_arrival() -> None:
    # The first of a batch bounds the fast lane; the second arrived two days later.
    early = Message(value=page_view())
    late = Message(
        offset=43,
        timestamp=early.timestamp + 2 * 86_400_000,
        value=page_view(occurred_at="2026-11-20T12:00:00.000Z"),
    )
    together = rows_of(PAGE_VIEWS, early, late)
    assert together.invalid == []
    assert together.rows[1:] == rows_of(PAGE_VIEWS, late).rows


def test_conversions_are_keyed_by_user() -> None:
    value = orjson.dumps(
        {"event_id": ID, "event_type": "conversion", "path": "/a", "user_id": "u-1"}
    )
    good = Message(key=b"u-1", value=value)
    bad = Message(value=value)
    made = rows_of(CONVERSIONS, good, bad)
    assert len(made.rows) == 1
    assert [record for record, _ in made.invalid] == [bad]


def test_any_other_name_is_a_custom_event() -> None:
    value = orjson.dumps({"event_id": ID, "event_type": "signup.done", "path": "/a"})
    assert len(rows_of(CUSTOM_EVENTS, Message(value=value)).rows) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"k", b"text"), (None, b"\xff\x00"), (b"\xff", None), (b"k", b"\x00" * 100_000)],
)
def test_a_dead_letter_keeps_every_byte_and_has_a_row(
    key: bytes | None, value: bytes | None
) -> None:
    letter = dead_letter(PARTITION, Message(key=key, value=value), Invalid("not_json", "why"))
    written = letter.model_dump_json().encode()
    assert len(written) < 2 * max(len(value or b""), 500)
    assert DeadLetter.model_validate_json(written) == letter
    made = dead_letter_rows(Source(LETTERS, 7), [Message(value=written)])
    assert made.ids == [letter.dead_letter_id.bytes]
    assert len(made.rows[0]) == len(DEAD_LETTER_COLUMNS)


@pytest.mark.parametrize(
    ("value", "headers", "written"),
    [
        (b"text", (("ce-id", b"1"), ("ce-id", None)), [("ce-id", "1"), ("ce-id", None)]),
        (b"\xff", (("ce-id", b"1"), ("ce-id", None)), [("ce-id", "MQ=="), ("ce-id", None)]),
        (b"text", (("ce-id", b"\xff"),), [("ce-id", "/w==")]),
        (b"text", (), None),
    ],
)
def test_a_dead_letter_keeps_its_headers(
    value: bytes, headers: tuple[tuple[str, bytes | None]], written: list[tuple[str, str | None]]
) -> None:
    record = Message(value=value, headers=headers)
    letter = dead_letter(PARTITION, record, Invalid("not_json", "why"))
    assert letter.headers == written
    assert DeadLetter.model_validate_json(letter.model_dump_json()) == letter
    made = dead_letter_rows(Source(LETTERS, 7), [Message(value=letter.model_dump_json().encode())])
    in_row = str(made.rows[0][DEAD_LETTER_COLUMNS.index("headers")])
    assert orjson.loads(in_row or "null") == orjson.loads(orjson.dumps(written))


def test_a_letter_from_before_headers_were_kept_is_still_read() -> None:
    letter = dead_letter(PARTITION, Message(value=b"x"), Invalid("not_json", "why"))
    old = letter.model_dump(mode="json")
    del old["headers"], old["truncated"]
    made = dead_letter_rows(Source(LETTERS, 7), [Message(value=orjson.dumps(old))])
    assert made.invalid == []
    assert made.rows[0][DEAD_LETTER_COLUMNS.index("headers")] == ""
    assert made.rows[0][DEAD_LETTER_COLUMNS.index("truncated")] is False


@pytest.mark.parametrize(
    "record",
    [
        Message(key=b"k" * 3_000_000, value=b"v" * 3_000_000),
        Message(value=b"\x00" * 3_000_000, headers=(("h", b"\xff" * 3_000_000),)),
        Message(value=b"v", headers=tuple(("\x01" * 100, b"") for _ in range(30_000))),
    ],
    ids=["key and value", "value and header", "names of headers"],
)
def test_what_a_compressed_message_can_grow_to_still_fits_the_topic(record: Message) -> None:
    letter = dead_letter(PARTITION, record, Invalid("not_json", "why"))
    assert len(letter.model_dump_json().encode()) < DEAD_LETTERS.max_message_bytes - 1_000
    assert "kept are the first" in letter.detail
    assert letter.truncated
    # As it was written before it had the field.
    old = letter.model_dump(mode="json")
    del old["truncated"]
    made = dead_letter_rows(
        Source(LETTERS, 7),
        [Message(value=letter.model_dump_json().encode()), Message(value=orjson.dumps(old))],
    )
    assert [row[DEAD_LETTER_COLUMNS.index("truncated")] for row in made.rows] == [True, True]


def test_a_letter_that_keeps_all_says_so_whatever_its_detail_says() -> None:
    why = Invalid("not_json", "x (kept are the first 1 of 2 bytes of the value)")
    letter = dead_letter(PARTITION, Message(key=b"k", value=b"v", headers=(("a", b"b"),)), why)
    made = dead_letter_rows(Source(LETTERS, 7), [Message(value=letter.model_dump_json().encode())])
    assert made.rows[0][DEAD_LETTER_COLUMNS.index("truncated")] is False


def test_an_action_becomes_a_row_column_by_column() -> None:
    letter = dead_letter(PARTITION, Message(), Invalid("x", "y")).dead_letter_id
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    action = dead_letter_action(letter, "replayed", at, UUID(ID))
    record = Message(value=action.model_dump_json().encode())
    made = action_rows(Source(TopicPartition("dead-letter-actions", 0), 7), [record])
    assert made.ids == [action.action_id.bytes]
    assert dict(zip(ACTION_COLUMNS, made.rows[0], strict=True)) == {
        "action_id": str(action.action_id),
        "dead_letter_id": str(letter),
        "action": "replayed",
        "event_id": ID,
        "acted_at": "2026-11-24T09:30:00.000Z",
        "received_at": 1_795_000_000.123,
        "action_topic": "dead-letter-actions",
        "action_partition": 0,
        "action_incarnation": 7,
        "action_offset": 42,
    }


def test_the_same_action_has_the_same_id_and_another_has_not() -> None:
    letter, other = UUID(int=1), UUID(int=2)
    at, later = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    first = dead_letter_action(letter, "replayed", at).action_id
    assert dead_letter_action(letter, "replayed", later).action_id == first
    assert dead_letter_action(letter, "discarded", at).action_id != first
    assert dead_letter_action(other, "replayed", at).action_id != first


def test_garbage_among_actions_is_a_dead_letter() -> None:
    made = action_rows(Source(LETTERS, 7), [Message(value=b"{}"), Message(value=None)])
    assert made.rows == []
    assert len(made.invalid) == 2


def test_a_dead_letters_id_names_the_message_and_no_other() -> None:
    def letter(**changes: int) -> UUID:
        record = replace(Message(), **changes)  # type: ignore[arg-type] # fields by name
        return dead_letter(PARTITION, record, Invalid("x", "y")).dead_letter_id

    assert letter() == letter()
    # Another offset, or the same offset of a topic that was made anew.
    assert len({letter(), letter(offset=43), letter(timestamp=1_795_000_000_124)}) == 3


def test_garbage_among_dead_letters_is_itself_a_dead_letter() -> None:
    made = dead_letter_rows(Source(LETTERS, 7), [Message(value=b"{}"), Message(value=None)])
    assert made.rows == []
    assert len(made.invalid) == 2


def test_rows_are_encoded_as_clickhouse_reads_them() -> None:
    assert encode_rows([("a", 1), ("b", 2)]) == b'["a",1],["b",2]'


def test_every_topic_that_the_sink_reads_has_a_destination() -> None:
    assert set(DESTINATIONS) == {topic.name for topic in TOPICS if "sink" in topic.read_by}


def test_a_note_names_the_batch_that_is_in_doubt() -> None:
    source = Source(PARTITION, 7)
    span = Span(source, 10, 19)
    assert span.token == "page-views:3:7:10-19"
    assert span.noted() == OffsetAndMetadata(10, "incarnation=7 batch-end=19")
    assert position_from(PARTITION, span.noted(), now=99) == Position(source, False, span)
    assert span.done() == OffsetAndMetadata(20, "incarnation=7")
    assert position_from(PARTITION, span.done(), now=99) == Position(source, False, None)


@pytest.mark.parametrize(
    "committed",
    [None, OffsetAndMetadata(-1, ""), OffsetAndMetadata(5, ""), OffsetAndMetadata(5, "by hand")],
)
def test_a_position_without_our_note_begins_an_incarnation(
    committed: OffsetAndMetadata | None,
) -> None:
    position = position_from(PARTITION, committed, now=99)
    assert position == Position(Source(PARTITION, 99), new=True, in_doubt=None)
