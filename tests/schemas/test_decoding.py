"""The two lanes of decoding accept the same events and make the same of them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import DecodeError, structs

from schemas.decoding import (
    InvalidEvent,
    WireEvent,
    canonical_time,
    decode_wire_event,
    encode_wire_event,
    explain_event,
    is_canonical,
    latest_occurred_at,
    metadata_problem,
    uuid_bytes,
)
from schemas.limits import MAX_METADATA_BYTES, MAX_METADATA_DEPTH

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ID = "0192d2ab-0000-7000-8000-0000000000ff"
VALID = {"event_id": ID, "event_type": "page_view", "path": "/pricing"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
odd_names = st.none() | st.text(max_size=300) | st.integers() | st.lists(st.text(), max_size=1)
times = st.datetimes(
    min_value=datetime(1960, 1, 1),
    max_value=datetime(2040, 1, 1),
    timezones=st.timezones(),
).map(lambda moment: moment.isoformat()) | st.datetimes(
    min_value=datetime(1969, 12, 30), max_value=datetime(2026, 11, 30)
).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
odd_times = times | st.sampled_from(
    ["2026-02-30T00:00:00.000Z", "2026-11-24 09:30:00.000Z", "1767225600", "", "yesterday"]
)
ids = st.uuids().map(str) | st.uuids().map(lambda value: str(value).upper()) | st.text(max_size=40)
documents = st.fixed_dictionaries(
    {
        "event_id": ids,
        "event_type": st.sampled_from(["page_view", "conversion", "a.b:c/d-e_1", "", "1x", "ä"])
        | st.text(max_size=5),
        "path": st.text(max_size=40) | st.just("/" * 2049) | st.integers(),
    },
    optional={
        "user_id": odd_names,
        "visitor_id": odd_names,
        "source": odd_names,
        "occurred_at": odd_times | st.integers() | st.none(),
        "metadata": st.dictionaries(st.text(max_size=4), json_values, max_size=3) | json_values,
        "unknown": st.just(1),
    },
)


def fast(data: bytes) -> WireEvent | None:
    try:
        event = decode_wire_event(data)
    except (DecodeError, UnicodeDecodeError):
        return None
    if event.event_id is None or not is_canonical(event, latest_occurred_at(NOW)):
        return None
    return event


def slow(data: bytes) -> WireEvent | InvalidEvent:
    try:
        return explain_event(data, received_at=NOW)
    except InvalidEvent as error:
        return error


def fields(event: WireEvent) -> tuple[object, ...]:
    return *structs.astuple(event)[:-1], bytes(event.metadata)


@given(documents)
@settings(max_examples=1500)
def test_what_the_fast_lane_takes_the_slow_lane_takes_as_the_same(document: object) -> None:
    try:
        data = orjson.dumps(document)
    except TypeError:
        return
    quick = fast(data)
    if quick is not None:
        slowly = slow(data)
        assert isinstance(slowly, WireEvent), slowly
        assert fields(quick) == fields(slowly)


@given(documents)
@settings(max_examples=1000)
def test_what_the_slow_lane_makes_is_taken_by_the_fast_lane(document: object) -> None:
    try:
        data = orjson.dumps(document)
    except TypeError:
        return
    event = slow(data)
    if isinstance(event, WireEvent):
        written = encode_wire_event(event)
        again = fast(written)
        assert again is not None
        assert fields(again) == fields(event)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_explanation(data: bytes) -> None:
    assert isinstance(slow(data), WireEvent | InvalidEvent)


@given(st.data())
@settings(max_examples=500)
def test_damaged_events_never_raise_anything_else(data: st.DataObject) -> None:
    message = bytearray(orjson.dumps({**VALID, "metadata": {"a": [1, {"b": "c"}]}}))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    fast(bytes(message))
    assert isinstance(slow(bytes(message)), WireEvent | InvalidEvent)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"path": ""}, "path"),
        ({"path": "/" * 10_000}, "path"),
        ({"path": 5}, "path"),
        ({"event_type": "page view"}, "event_type"),
        ({"event_id": "not-a-uuid"}, "event_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 42}, "user_id"),
        ({"unknown": 1}, "unknown"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"text": "x" * MAX_METADATA_BYTES}}, "metadata"),
        ({"occurred_at": "3000-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": "2026-11-24T09:30:00"}, "occurred_at"),
        ({"occurred_at": 1_767_225_600}, "occurred_at"),
        ({"occurred_at": "1767225600"}, "occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at"),
    ],
)
def test_each_fault_is_named_by_its_field(change: dict[str, object], field: str) -> None:
    data = orjson.dumps({**VALID, **change})
    assert fast(data) is None
    error = slow(data)
    assert isinstance(error, InvalidEvent)
    assert error.field == field
    assert field in error.detail


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00.000Z"),
        ("2026-11-24T11:30:00.5+02:00", "2026-11-24T09:30:00.500Z"),
        ("2026-11-24T09:29:59.9999999Z", "2026-11-24T09:29:59.999Z"),
        (None, None),
    ],
)
def test_times_become_utc_cut_to_the_millisecond(sent: str | None, kept: str | None) -> None:
    event = slow(orjson.dumps({**VALID, "occurred_at": sent}))
    assert isinstance(event, WireEvent), event
    assert event.occurred_at == kept


def test_a_missing_field_is_named() -> None:
    error = slow(orjson.dumps({"event_id": ID, "event_type": "page_view"}))
    assert isinstance(error, InvalidEvent)
    assert error.detail == "path is required"


def test_nesting_is_counted_outside_strings() -> None:
    assert metadata_problem(orjson.dumps({"text": "{[" * 50, "quote": '\\"{{{{{{{{'})) is None
    deep = b'{"a":' * MAX_METADATA_DEPTH + b"1" + b"}" * MAX_METADATA_DEPTH
    assert metadata_problem(deep) is None
    assert metadata_problem(b'{"a":' + deep + b"}") == "is nested 17 deep; keep it to 16"
    wide = b'{"a":[' + b",".join([b"{}"] * 100) + b"]}"
    assert metadata_problem(wide) is None


def test_metadata_keeps_every_byte() -> None:
    text = b'{"big": 123456789012345678901234567890, "exact": 1.10}'
    data = b'{"event_id":"%b","event_type":"x","path":"/","metadata":%b}' % (ID.encode(), text)
    event = slow(data)
    assert isinstance(event, WireEvent)
    assert bytes(event.metadata) == text


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2105, 1, 1)))
def test_canonical_times_sort_as_the_moments_do(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    later = aware + timedelta(milliseconds=1)
    assert canonical_time(aware) < canonical_time(later)
    assert len(canonical_time(aware)) == 24


@given(st.uuids())
def test_uuid_bytes_are_those_of_the_uuid(value: UUID) -> None:
    assert uuid_bytes(str(value)) == value.bytes


@pytest.mark.parametrize("text", ["", ID.upper(), ID[:-1], ID.replace("-", " "), ID[:-2] + " f"])
def test_other_texts_are_no_canonical_uuid(text: str) -> None:
    assert uuid_bytes(text) is None
