"""A CloudEvent is one event, the same one in every mode, or names what is wrong with it."""

from base64 import b64encode
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as OfficialEvent
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloud_event_attributes import is_json_type
from schemas.cloud_events import (
    CloudEvent,
    cloud_event_id,
    from_binary,
    from_structured,
)
from schemas.decoding import InvalidEvent, encode_wire_event
from schemas.limits import MAX_METADATA_BYTES, MAX_NAME_CHARACTERS, MAX_PATH_CHARACTERS
from schemas.topics import CONVERSIONS, PAGE_VIEWS

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
MINIMAL = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/shop",
    "type": "page_view",
    "subject": "/cart",
}


def structured(**changes: object) -> CloudEvent:
    return from_structured(orjson.dumps({**MINIMAL, **changes}), received_at=NOW)


def document(event: CloudEvent) -> object:
    return orjson.loads(encode_wire_event(event.event))


def test_each_attribute_has_its_place_in_the_event() -> None:
    event = structured(
        time="2026-11-24T10:00:00.1239+01:00",
        data={
            "path": "/cart/42",
            "user_id": "u-1",
            "visitor_id": "v-1",
            "metadata": {"a": 1},
        },
    )
    assert document(event) == {
        "event_id": str(cloud_event_id("/shop", "A-1")),
        "event_type": "page_view",
        "path": "/cart/42",
        "user_id": "u-1",
        "visitor_id": "v-1",
        "occurred_at": "2026-11-24T09:00:00.123Z",
        "source": "/shop",
        "metadata": {"cloudevent": {"subject": "/cart"}, "a": 1},
    }


def test_the_subject_is_the_path_where_no_other_is_given() -> None:
    assert document(structured()) == {
        "event_id": str(cloud_event_id("/shop", "A-1")),
        "event_type": "page_view",
        "path": "/cart",
        "source": "/shop",
    }
    assert document(structured(data={"path": "/cart"})) == document(structured())


def test_what_an_event_has_no_field_for_is_kept_in_its_metadata() -> None:
    event = structured(tenant="x", retries=3, last=True, data={"metadata": {"exact": 1}})
    assert bytes(event.event.metadata) == (
        b'{"cloudevent":{"tenant":"x","retries":3,"last":true},"exact":1}'
    )
    assert bytes(structured(tenant="x").event.metadata) == b'{"cloudevent":{"tenant":"x"}}'


def test_how_it_travelled_and_its_schema_are_left_out() -> None:
    travelled = structured(
        traceparent="00-1", tracestate="a=1", partitionkey="A-1", dataschema="https://example.com/"
    )
    assert document(travelled) == document(structured())


def test_null_is_absent() -> None:
    assert document(structured(time=None, data=None, tenant=None)) == document(structured())


def test_metadata_keeps_every_byte() -> None:
    text = b'{"big": 123456789012345678901234567890,  "exact":1.10,\n"esc":"\\u00e9\\/"}'
    start = orjson.dumps(MINIMAL)[:-1]
    event = from_structured(start + b',"data":{"metadata": %b }}' % text, received_at=NOW)
    assert bytes(event.event.metadata) == text
    assert text in event.structured()
    kept = from_structured(start + b',"x":"y","data":{"metadata":%b}}' % text, received_at=NOW)
    assert bytes(kept.event.metadata) == b'{"cloudevent":{"x":"y"},' + text[1:]


def test_base64_that_holds_json_is_data() -> None:
    data = {"user_id": "ü", "metadata": {"a": 1}}
    encoded = structured(data_base64=b64encode(orjson.dumps(data)).decode())
    assert document(encoded) == document(structured(data=data))


def test_source_and_id_name_the_event_together_and_unmistakably() -> None:
    def event_id(source: str, identity: str) -> str | None:
        return structured(source=source, id=identity).event.event_id

    assert event_id("/shop", "A-1") == event_id("/shop", "A-1")
    pairs = [("a", "bc"), ("ab", "c"), ("1:a", "b"), ("1", ":ab"), ("/shop", "A-1")]
    assert len({event_id(*pair) for pair in pairs}) == len(pairs)
    # It must be the same in each release: rows hold it.
    assert cloud_event_id("/shop", "A-1") == UUID("ed2ca6a2-d922-5cc0-bcaa-3069cb145bdf")


def test_the_key_is_the_id_and_a_conversions_the_user() -> None:
    assert structured().key(PAGE_VIEWS) == "A-1"
    assert structured(data={"user_id": "u-1"}).key(PAGE_VIEWS) == "A-1"
    assert structured(type="conversion").key(CONVERSIONS) == "A-1"
    assert structured(type="conversion", data={"user_id": "u-1"}).key(CONVERSIONS) == "u-1"


LONG = "x" * (MAX_NAME_CHARACTERS + 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": None}, "specversion"),
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": "1.1"}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"id": LONG}, "id"),
        ({"id": "a\0"}, "id"),
        ({"source": None}, "source"),
        ({"source": ""}, "source"),
        ({"source": LONG}, "source"),
        ({"type": None}, "type"),
        ({"type": ""}, "type"),
        ({"type": "page view"}, "type"),
        ({"type": "x" * 101}, "type"),
        ({"subject": None}, "data.path"),
        ({"subject": ""}, "subject"),
        ({"subject": "/" * (MAX_PATH_CHARACTERS + 1)}, "subject"),
        ({"time": ""}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"time": 1_795_000_000}, "time"),
        ({"time": "2026-11-24T09:30:00"}, "time"),
        ({"time": "1969-12-31T23:59:59Z"}, "time"),
        ({"time": "2026-11-26T09:30:00Z"}, "time"),
        ({"datacontenttype": ""}, "datacontenttype"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"dataschema": ""}, "dataschema"),
        ({"Tenant": "x"}, "Tenant"),
        ({"tenant_id": "x"}, "tenant_id"),
        ({"": "x"}, ""),
        ({"ténant": "x"}, "ténant"),
        ({"tenant": {"a": 1}}, "tenant"),
        ({"tenant": 1.5}, "tenant"),
        ({"tenant": 2**31}, "tenant"),
        ({"tenant": "a\nb"}, "tenant"),
        ({"data": 5}, "data"),
        ({"data": "{}"}, "data"),
        ({"data": []}, "data"),
        ({"data": {"path": ""}}, "data.path"),
        ({"data": {"user_id": 5}}, "data.user_id"),
        ({"data": {"visitor_id": LONG}}, "data.visitor_id"),
        ({"data": {"metadata": []}}, "data.metadata"),
        ({"data": {"metadata": {"t": "x" * MAX_METADATA_BYTES}}}, "data.metadata"),
        ({"data": {"event_id": "x"}}, "data.event_id"),
        ({"data": {"colour": "red"}}, "data.colour"),
        ({"tenant": "x" * MAX_METADATA_BYTES}, "data.metadata"),
        ({"tenant": "x", "data": {"metadata": {"cloudevent": 1}}}, "data.metadata.cloudevent"),
        ({"data_base64": "!"}, "data_base64"),
        ({"data_base64": 5}, "data_base64"),
        ({"data_base64": "e30=", "data": {}}, "data_base64"),
        ({"data_base64": "/w=="}, "data"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
def test_what_is_wrong_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        structured(**change)
    assert caught.value.field == field
    assert caught.value.detail.startswith(field)
    # In words: neither patterns nor the validator's own phrases.
    assert "nput should" not in caught.value.detail
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"id":NaN}', b'{"id":"\\ud800"}'])
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_structured(text, received_at=NOW)
    assert caught.value.reason == "not_json"


@pytest.mark.parametrize("text", [b"[]", b"5", b"null", b'"x"'])
def test_what_is_no_object(text: bytes) -> None:
    with pytest.raises(InvalidEvent, match="must be a JSON object") as caught:
        from_structured(text, received_at=NOW)
    assert caught.value.reason == "invalid_field"


@pytest.mark.parametrize(
    ("attributes", "data", "header"),
    [
        ({"id": ""}, b"", "ce-id"),
        ({"specversion": "2"}, b"", "ce-specversion"),
        ({"tenant_id": "x"}, b"", "ce-tenant_id"),
        ({"data": "x"}, b"", "ce-data"),
        ({"datacontenttype": "text/plain"}, b"{}", "content-type"),
        ({}, b"{", "data"),
        ({}, b'{"user_id":5}', "data.user_id"),
    ],
)
def test_in_binary_mode_the_header_is_named(
    attributes: dict[str, str], data: bytes, header: str
) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_binary({**MINIMAL, **attributes}, data, received_at=NOW, prefix="ce-")
    assert caught.value.field == header
    assert caught.value.detail.startswith(header)


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/json", True),
        ("application/vnd.shop.cart-1.0+json", True),
        ("application/jsonp", False),
        ("application/+json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_types_of_json(content_type: str, is_json: bool) -> None:  # noqa: FBT001
    assert is_json_type(content_type) is is_json


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
extensions = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True).map(lambda name: f"x{name}"),
    words | st.booleans() | st.integers(-(2**31), 2**31 - 1),
    max_size=3,
)
contents = st.fixed_dictionaries(
    {},
    optional={
        "path": words,
        "user_id": words,
        "visitor_id": words,
        "metadata": st.dictionaries(
            words, words | st.integers(-(2**53), 2**53) | st.none(), max_size=3
        ),
    },
)
cloud_events = st.builds(
    lambda required, optional, content, kept: {
        **kept,
        **required,
        **optional,
        "data": content,
    },
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": words,
            "source": words,
            "type": st.sampled_from(["page_view", "conversion", "com.example.played"]),
            "subject": words,
            "time": st.datetimes(datetime(1970, 1, 2), datetime(2026, 11, 24)).map(
                lambda time: time.replace(tzinfo=UTC).isoformat()
            ),
        }
    ),
    st.fixed_dictionaries(
        {}, optional={"datacontenttype": st.just("application/json"), "dataschema": words}
    ),
    contents,
    extensions,
)


@given(cloud_events)
def test_written_for_kafka_it_is_read_as_the_same_event(given_event: dict[str, object]) -> None:
    event = from_structured(orjson.dumps(given_event), received_at=NOW)
    again = from_structured(event.structured(), received_at=NOW)
    assert encode_wire_event(again.event) == encode_wire_event(event.event)
    assert again.structured() == event.structured()
    assert again.key(PAGE_VIEWS) == event.key(PAGE_VIEWS)


@given(cloud_events)
def test_the_official_package_reads_what_lies_on_kafka(given_event: dict[str, object]) -> None:
    event = from_structured(orjson.dumps(given_event), received_at=NOW)
    official = JSONFormat().read(OfficialEvent, event.structured())
    assert official.get_id() == given_event["id"]
    assert official.get_source() == given_event["source"]
    assert official.get_type() == given_event["type"]
    assert official.get_subject() == given_event["subject"]
    assert JSONFormat().read(OfficialEvent, orjson.dumps(given_event)).get_time() is not None


@given(cloud_events)
def test_the_official_package_writes_the_same_event_in_every_mode(
    given_event: dict[str, object],
) -> None:
    # Headers say everything in text.
    for name, value in given_event.items():
        if isinstance(value, bool | int):
            given_event[name] = str(value)
    official = JSONFormat().read(OfficialEvent, orjson.dumps(given_event))
    expected = from_structured(orjson.dumps(given_event), received_at=NOW)

    in_http = http.to_binary(official, JSONFormat())
    in_kafka = kafka.to_binary(official, JSONFormat())
    binary = {name.removeprefix("ce_"): value.decode() for name, value in in_kafka.headers.items()}
    if "content-type" in binary:
        binary["datacontenttype"] = binary.pop("content-type")
    read = [
        from_structured(http.to_structured(official, JSONFormat()).body, received_at=NOW),
        from_structured(kafka.to_structured(official, JSONFormat()).value, received_at=NOW),
        from_binary(binary, in_kafka.value, received_at=NOW, prefix="ce_"),
    ]
    assert in_http.body == in_kafka.value
    for each in read:
        assert document(each) == document(expected)
