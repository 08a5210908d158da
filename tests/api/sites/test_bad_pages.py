"""Bad input from pages gets a clear problem document that they can read, and publishes nothing."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from schemas.limits import MAX_METADATA_BYTES
from schemas.sites import Site
from tests.api.log_of_topics import LogOfTopics
from tests.api.sites.pages import SHOP, created, send, view
from tests.weir import Json, Weir

pytestmark = pytest.mark.services


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(guarded: Weir) -> Site:
    return await created(guarded)


@pytest.fixture(autouse=True)
def _no_stack_trace(guarded: Weir) -> Iterator[None]:
    before = {log: log.stat().st_size for log in guarded.folder.glob("*-api.log")}
    yield
    for log, size in before.items():
        assert '"level": "error"' not in log.read_bytes()[size:].decode()


async def refused(
    weir: Weir,
    topics: LogOfTopics,
    site: Site,
    document: Json | bytes | AsyncIterator[bytes],
    status: int,
    headers: dict[str, str | None] | None = None,
) -> Json:
    """Sends what must be refused; its problem. Nothing may have been published."""
    before = await topics.ends()
    answer = await send(weir, site, document, headers)
    problem = answer.problem(status)
    assert answer.headers.getall("Access-Control-Allow-Origin") == [SHOP]
    assert await topics.ends() == before
    return problem


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "not JSON"),
        (b"event_type=page_view", 400, "not JSON"),
        (b'[{"event_type":"page_view","path":"/\xff"}]', 400, "not UTF-8"),
        (b'[{"event_type":"page_view","path":"/\\ud800"}]', 400, "surrogate"),
        (b'[{"event_type":"x","path":"/","path":"/"}]', 400, "path is given twice"),
        (
            b'{"event_type":"x","path":"/","metadata":{"host":1,"host":2}}',
            400,
            "host is given twice",
        ),
        (b'{"event_type":"x","path":"/","metadata":{"a":1e999}}', 400, "infinity"),
        (b"5", 422, "must be a JSON object"),
        (b"[]", 422, "array of 0 events; send 1 to 100"),
        (b"[5]", 422, "none of these events can be used"),
        (b"[" + b",".join([b'{"event_type":"x","path":"/"}'] * 101) + b"]", 422, "101 events"),
    ],
)
async def test_what_is_no_event(
    guarded: Weir, topics: LogOfTopics, shop: Site, body: bytes, status: int, says: str
) -> None:
    assert says in (await refused(guarded, topics, shop, body, status))["detail"]


@pytest.mark.parametrize("depth", [17, 300, 5_000, 20_000])
@pytest.mark.parametrize(("opened", "closed"), [('{"a":', "}"), ("[", "]")])
async def test_deep_json(
    guarded: Weir, topics: LogOfTopics, shop: Site, depth: int, opened: str, closed: str
) -> None:
    nested = opened * (depth // 2) + "1" + closed * (depth // 2)
    nested = nested if depth > 17 else opened * 17 + "1" + closed * 17
    body = f'{{"event_type":"x","path":"/","metadata":{{"referrer":{nested}}}}}'.encode()
    assert "nested" in (await refused(guarded, topics, shop, body, 422))["detail"]


async def pieces() -> AsyncIterator[bytes]:
    yield b"["
    for _ in range(10):
        yield b" " * 10_000


async def test_a_huge_body(guarded: Weir, topics: LogOfTopics, shop: Site) -> None:
    for body in (b"[" + b" " * 65_536, pieces()):
        problem = await refused(guarded, topics, shop, body, 413)
        assert "larger than 65536 bytes" in problem["detail"]


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"path": ""}, "path", "must not be empty"),
        ({"path": "/" * 3_000}, "path", "longer than 2048"),
        ({"event_type": "page view"}, "event_type", "letters A to Z"),
        ({"event_id": "42"}, "event_id", "must be a UUID"),
        ({"user_id": 42}, "user_id", "must be a string"),
        ({"occurred_at": "yesterday"}, "occurred_at", "RFC 3339"),
        ({"occurred_at": "2026-13-24T09:30:00Z"}, "occurred_at", "RFC 3339"),
        ({"occurred_at": "2026-11-24T09:30:00"}, "occurred_at", "add `Z`"),
        ({"occurred_at": -86_400}, "occurred_at", "RFC 3339"),
        ({"metadata": []}, "metadata", "must be a JSON object"),
        ({"metadata": {"t": "x" * MAX_METADATA_BYTES}}, "metadata", "keep it to 16384"),
        # Small enough as it is sent, and too large with the browser.
        ({"metadata": {"t": "x" * (MAX_METADATA_BYTES - 20)}}, "metadata", "user agent, host"),
        ({"visitor_id": "v-1"}, "visitor_id", "made by Weir"),
        ({"source": "bank"}, "source", "made by Weir"),
        ({"colour": "red"}, "colour", "put what is your own into `metadata`"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
async def test_a_bad_field_alone_and_in_an_array(
    guarded: Weir,
    topics: LogOfTopics,
    shop: Site,
    change: dict[str, Json],
    field: str,
    says: str,
) -> None:
    event = {**view("/bad"), **change}
    problem = await refused(guarded, topics, shop, event, 422)
    [error] = problem["errors"]
    assert error["field"] == field
    assert says in error["detail"]
    problem = await refused(guarded, topics, shop, [event], 422)
    assert problem["items"][0]["error"] == error


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/html", "text"],
)
async def test_a_body_of_another_kind(
    guarded: Weir, topics: LogOfTopics, shop: Site, content_type: str
) -> None:
    headers: dict[str, str | None] = {"Content-Type": content_type}
    problem = await refused(guarded, topics, shop, [view("/")], 415, headers)
    assert "text/plain" in problem["detail"]


@pytest.mark.parametrize("referrer", ["", 5, None, ["https://a.example"], {"url": "x"}, "?q=1"])
async def test_a_referrer_that_is_none_is_left_out(
    guarded: Weir, topics: LogOfTopics, shop: Site, referrer: Json
) -> None:
    before = await topics.ends()
    sent = view("/referrer", metadata={"referrer": referrer})
    assert (await send(guarded, shop, [sent])).status == 202
    [(_, record)] = await topics.since(before)
    assert b"referrer" not in record.value.replace(b"/referrer", b"")


async def test_headers_of_any_bytes(guarded: Weir, topics: LogOfTopics, shop: Site) -> None:
    before = await topics.ends()
    for agent in ('"quoted"\\', "x" * 2_000, "s\u00e9ance", None):
        assert (await send(guarded, shop, [view("/a")], {"User-Agent": agent})).status == 202
    found = [record.value for _, record in await topics.since(before)]
    assert len(found) == 4
    assert any(b"x" * 500 in value for value in found)
    assert not any(b"x" * 501 in value for value in found)
