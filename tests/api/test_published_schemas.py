"""The published schemas are what the API and the sink hold events to."""

from collections.abc import Callable
from datetime import UTC, datetime

import jsonschema
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.async_api import async_api_document
from schemas.cloud_events import from_structured
from schemas.decoding import InvalidEvent, explain_new_event
from schemas.json_schemas import DIALECT, PUBLISHED
from tests.api.requests import ask
from tests.weir import Weir

ADDRESS = "/schemas/event.json"


@pytest.mark.services
async def test_the_index_leads_to_every_schema(edge: Weir) -> None:
    index = (await ask(edge, "GET", "/schemas/")).json["schemas"]
    assert [entry["name"] for entry in index] == [*PUBLISHED]
    for entry in index:
        newest = await ask(edge, "GET", entry["path"])
        for number, path in enumerate(entry["versions"], start=1):
            answer = await ask(edge, "GET", path)
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/schema+json"
            document = answer.json
            assert document["$schema"] == DIALECT
            assert document["$id"] == path
            assert path.endswith(f".v{number}.json")
            jsonschema.Draft202012Validator.check_schema(document)
        assert entry["version"] == len(entry["versions"])
        assert newest.body == answer.body
        assert document["description"] == entry["describes"]


@pytest.mark.services
async def test_a_schema_that_is_known_is_not_sent_again(edge: Weir) -> None:
    first = await ask(edge, "GET", ADDRESS)
    etag = first.headers["ETag"]
    assert "max-age" in first.headers["Cache-Control"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = await ask(edge, "GET", ADDRESS, headers={"If-None-Match": known})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == etag
    other = await ask(edge, "GET", ADDRESS, headers={"If-None-Match": '"x"'})
    assert (other.status, other.body) == (200, first.body)
    head = await ask(edge, "HEAD", ADDRESS)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", etag)


@pytest.mark.services
@pytest.mark.parametrize("name", ["nope", "Event", "event.json", "%7B%7D", "x" * 1_000])
async def test_an_unknown_schema_is_told_what_there_is(edge: Weir, name: str) -> None:
    detail = (await ask(edge, "GET", f"/schemas/{name}.json")).problem(404)["detail"]
    assert "new-event" in detail


def test_limits_stand_in_the_schemas() -> None:
    for name in ("event", "new-event"):
        properties = PUBLISHED[name].model.model_json_schema()["properties"]
        assert "16384 bytes" in properties["metadata"]["description"]
        assert properties["path"]["maxLength"] == 2048


NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.text("a/Z", max_size=3),
    st.sampled_from(["1.0", "page_view", "2026-11-24T09:30:00Z", "application/json", "x" * 300]),
    st.just([]),
    st.fixed_dictionaries(
        {},
        optional={
            "path": st.sampled_from(["", "/", 5, None]),
            "user_id": st.sampled_from(["", "u", 5, None]),
            "metadata": st.sampled_from([{}, {"a": [1]}, [], None]),
            "colour": st.just("red"),
        },
    ),
)


def documents(complete: dict[str, object], *further: str) -> st.SearchStrategy[dict[str, object]]:
    """The document with some of its members changed, left out or added."""
    names = st.sampled_from([*complete, *further, "tenant", "Tenant", "tenant_id"])
    without = st.sets(names, max_size=1)
    return st.builds(
        lambda changes, gone: {
            name: value for name, value in {**complete, **changes}.items() if name not in gone
        },
        st.dictionaries(names, values, max_size=2),
        without,
    )


def accepts(read: Callable[[bytes], object], document: object) -> bool:
    try:
        read(orjson.dumps(document))
    except InvalidEvent:
        return False
    return True


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        PUBLISHED[name].document(),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


@given(
    documents(
        {"event_type": "page_view", "path": "/", "occurred_at": "2026-11-24T09:30:00Z"},
        "user_id",
        "metadata",
        "source",
    )
)
def test_the_schema_of_an_event_says_what_is_taken(document: dict[str, object]) -> None:
    # Formats are no part of it here: the validator checks dates only with a package more.
    assume(document.get("occurred_at") in (None, "2026-11-24T09:30:00Z"))
    taken = accepts(lambda text: explain_new_event(text, received_at=NOW), document)
    assert validator("new-event").is_valid(document) == taken


@given(
    documents(
        {
            "specversion": "1.0",
            "id": "A-1",
            "source": "/shop",
            "type": "page_view",
            "subject": "/cart",
        },
        "data",
        "datacontenttype",
        "dataschema",
    )
)
def test_the_schema_of_a_cloud_event_says_what_is_taken(document: dict[str, object]) -> None:
    # Which content types are JSON the schema leaves to its description.
    assume(document.get("datacontenttype") in (None, "application/json", 5))
    taken = accepts(lambda text: from_structured(text, received_at=NOW), document)
    assert validator("cloud-event").is_valid(document) == taken


@pytest.mark.services
async def test_the_document_of_topics_is_served_and_known_again(edge: Weir) -> None:
    first = await ask(edge, "GET", "/asyncapi.json")
    assert first.status == 200
    assert first.json == orjson.loads(orjson.dumps(async_api_document()))
    etag = first.headers["ETag"]
    again = await ask(edge, "GET", "/asyncapi.json", headers={"If-None-Match": etag})
    assert (again.status, again.body) == (304, b"")
