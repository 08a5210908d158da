"""Bad input gets a clear problem document, publishes nothing and disturbs nobody."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from itertools import product
from urllib.parse import quote, urlsplit

import psutil
import pytest

from schemas.limits import (
    MAX_EVENTS_PER_REQUEST,
    MAX_METADATA_BYTES,
    MAX_PATH_CHARACTERS,
    MAX_REQUEST_BYTES,
)
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, JSON, SUMMARY, ask, get, items, post
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

VALID = {"event_type": "page_view", "path": "/bad-input"}


@pytest.fixture(autouse=True)
def _no_stack_trace(edge: Weir) -> Iterator[None]:
    """Whatever is sent, the API logs no error and keeps running."""
    before = {log: log.stat().st_size for log in edge.folder.glob("*-api.log")}
    yield
    for log, size in before.items():
        assert '"level": "error"' not in log.read_bytes()[size:].decode()


async def refused(weir: Weir, topics: LogOfTopics, document: Json, status: int, field: str) -> str:
    """Sends what must be refused; the problem's detail. Nothing may have been published."""
    before = await topics.ends()
    answer = await post(weir, document)
    detail = answer.problem(status, field)["detail"]
    assert await topics.ends() == before
    assert isinstance(detail, str)
    return detail


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" ", "not JSON"),
        (b"{", "not JSON"),
        (b"{'path': '/'}", "not JSON"),
        (b'{"event_type":"page_view","path":"/"} x', "not JSON"),
        (b'{"event_type":"page_view","path":"/"}\n{"event_type":"x","path":"/"}', "not JSON"),
        (b'{"event_type":"page_view","path":"/\n"}', "control character"),
        (b'{"event_type":"page_view","path":"/\xff"}', "not UTF-8 at byte 36"),
        (b'{"event_type":"page_view","path":"/\xed\xa0\x80"}', "not UTF-8"),
        ('{"event_type":"page_view","path":"/"}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"event_type":"page_view","path":"/"}', "byte order mark"),
        (b'{"event_type":"page_view","path":"/\\ud800"}', "surrogate"),
        (b'{"event_type":"page_view","path":"/","metadata":{"a":"\\ud800"}}', "surrogate"),
        (b'{"event_type":"page_view","path":"/","metadata":{"\\udc00":1}}', "surrogate"),
        (b'{"event_type":"page_view","path":"/","metadata":{"a":NaN}}', "not JSON"),
        (b'{"event_type":"page_view","path":"/","metadata":{"a":-Infinity}}', "not JSON"),
        (b'{"event_type":"page_view","path":"/","metadata":{"a":1e999}}', "infinity"),
    ],
)
async def test_what_is_not_json(edge: Weir, topics: LogOfTopics, body: bytes, says: str) -> None:
    assert says in await refused(edge, topics, body, 400, "body")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"event_type":"x","path":"/a","path":"/b"}', "path"),
        (b'{"event_type":"x","path":"/a","p\\u0061th":"/b"}', "path"),
        (b'{"event_type":"x","path":"/a","metadata":{"k":[{"z":1,"z":1}]}}', "z"),
        (b'[{"event_type":"x","path":"/a"},{"event_type":"x","path":"/","path":"/"}]', "path"),
    ],
)
async def test_a_duplicate_key(edge: Weir, topics: LogOfTopics, body: bytes, key: str) -> None:
    assert await refused(edge, topics, body, 400, key) == (
        f"{key} is given twice in one object; give it once"
    )


@pytest.mark.parametrize("body", [b"5", b'"text"', b"null", b"true"])
async def test_json_that_is_no_event(edge: Weir, topics: LogOfTopics, body: bytes) -> None:
    detail = await refused(edge, topics, body, 422, "body")
    assert detail.startswith("the event must be a JSON object, such as {")


A_TIME = "such as 2026-11-24T09:30:00Z"


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"path": 5}, "path", "must be a string"),
        ({"path": None}, "path", "must be a string"),
        ({"path": ""}, "path", "must not be empty"),
        ({"path": "/" * 10_000}, "path", f"longer than {MAX_PATH_CHARACTERS} characters"),
        ({"event_type": ["page_view"]}, "event_type", "must be a string"),
        ({"event_type": ""}, "event_type", "must not be empty"),
        ({"event_type": "page view"}, "event_type", "letters A to Z, digits and _ . : / -"),
        ({"event_type": "page_view\n"}, "event_type", "letters A to Z"),
        ({"event_type": "\0"}, "event_type", "must begin with a letter"),
        ({"event_type": "séance"}, "event_type", "letters A to Z"),
        ({"event_type": "x" * 101}, "event_type", "longer than 100 characters"),
        ({"user_id": 42}, "user_id", "must be a string"),
        ({"user_id": ""}, "user_id", "must not be empty"),
        ({"user_id": "u" * 257}, "user_id", "longer than 256 characters"),
        ({"visitor_id": {}}, "visitor_id", "must be a string"),
        ({"source": False}, "source", "must be a string"),
        ({"event_id": "42"}, "event_id", "must be a UUID, such as 0"),
        ({"event_id": 42}, "event_id", "must be a UUID"),
        ({"metadata": None}, "metadata", "must be a JSON object"),
        ({"metadata": []}, "metadata", "must be a JSON object"),
        ({"metadata": {"t": "x" * MAX_METADATA_BYTES}}, "metadata", "keep it to 16384"),
        ({"occurred_at": "3000-01-01T00:00:00Z"}, "occurred_at", "in the future"),
        ({"occurred_at": "9999-12-31T23:59:59-23:59"}, "occurred_at", "in the future"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at", "before 1970"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at", "before 1970"),
        ({"occurred_at": "2026-11-24T09:30:00"}, "occurred_at", "add `Z` for UTC"),
        ({"occurred_at": "2026-11-24"}, "occurred_at", "add `Z` for UTC"),
        ({"occurred_at": "2026-13-24T09:30:00Z"}, "occurred_at", A_TIME),
        ({"occurred_at": "yesterday"}, "occurred_at", A_TIME),
        ({"occurred_at": 1_767_225_600}, "occurred_at", A_TIME),
        ({"occurred_at": ""}, "occurred_at", A_TIME),
        ({"colour": "red"}, "colour", "put what is your own into `metadata`"),
        ({"a.b": 1}, "a.b", "put what is your own into `metadata`"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
async def test_a_bad_field_alone_and_in_an_array(
    edge: Weir, topics: LogOfTopics, change: dict[str, Json], field: str, says: str
) -> None:
    event = {**VALID, **change}
    detail = await refused(edge, topics, event, 422, field)
    assert detail.startswith(field)
    assert says in detail
    # In words: neither patterns nor the validator's own phrases.
    assert "^[" not in detail
    assert "nput should" not in detail

    before = await topics.ends()
    answer = (await post(edge, [event])).problem(422)
    assert answer["items"][0]["error"] == {"field": field, "detail": detail}
    assert await topics.ends() == before


@pytest.mark.parametrize("depth", [17, 100, 253, 300, 1_000, 5_000, 100_000])
@pytest.mark.parametrize(("opened", "closed"), [('{"a":', "}"), ("[", "]")])
async def test_metadata_nested_too_deep(
    edge: Weir, topics: LogOfTopics, depth: int, opened: str, closed: str
) -> None:
    nested = opened * depth + '"x"' + closed * depth
    body = f'{{"event_type":"x","path":"/","metadata":{{"m":{nested}}}}}'
    assert "nested" in await refused(edge, topics, body.encode(), 422, "metadata")
    before = await topics.ends()
    (await post(edge, f"[{body}]".encode())).problem(422)
    assert await topics.ends() == before


@pytest.mark.parametrize("count", [0, MAX_EVENTS_PER_REQUEST + 1])
async def test_an_array_of_no_or_too_many_events(
    edge: Weir, topics: LogOfTopics, count: int
) -> None:
    detail = await refused(edge, topics, [VALID] * count, 422, "body")
    assert f"an array of {count} events; send 1 to 1000" in detail


async def pieces(size: int) -> AsyncIterator[bytes]:
    yield b'{"event_type":"page_view","path":"/","metadata":{"t":"'
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b'"}}'


async def test_a_body_of_two_megabytes(edge: Weir, topics: LogOfTopics) -> None:
    before = await topics.ends()
    for body in (b"".join([each async for each in pieces(2_000_000)]), pieces(2_000_000)):
        answer = await ask(edge, "POST", EVENTS, body, JSON)
        detail = answer.problem(413, "body")["detail"]
        assert f"larger than {MAX_REQUEST_BYTES} bytes; send fewer events" in detail
    assert await topics.ends() == before


async def test_long_names_are_not_echoed(edge: Weir, topics: LogOfTopics) -> None:
    long = "k" * 50_000
    before = await topics.ends()
    (await post(edge, {**VALID, long: 1})).problem(422)
    (await post(edge, b'{"%b":1,"%b":2}' % (long.encode(), long.encode()))).problem(400)
    (await ask(edge, "GET", f"/{long}")).problem(404)
    (await ask(edge, "GET", f"{SUMMARY}?{long}=1")).problem(422)
    (await ask(edge, "GET", f"{EVENTS}?path={long}")).problem(422, "path")
    (await ask(edge, "GET", f"{EVENTS}?cursor={long}")).problem(422, "cursor")
    many = "&".join(f"p{number}=1" for number in range(1_000))
    answer = await ask(edge, "GET", f"{SUMMARY}?{many}")
    assert (answer.status, len(answer.json["errors"])) == (422, 20)
    (await ask(edge, "POST", EVENTS, b"{}", {"Content-Type": "x" * 5_000})).problem(415)
    assert await topics.ends() == before


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Content-Type": "text/plain"}, "Content-Type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
        ({**JSON, "Content-Encoding": "br"}, "Content-Encoding"),
        ({**JSON, "Content-Encoding": "deflate"}, "Content-Encoding"),
        ({**JSON, "Content-Encoding": "gzip, gzip"}, "Content-Encoding"),
    ],
)
async def test_a_body_of_another_kind(
    edge: Weir, topics: LogOfTopics, headers: dict[str, str], field: str
) -> None:
    before = await topics.ends()
    answer = await ask(edge, "POST", EVENTS, b'{"event_type":"x","path":"/"}', headers)
    assert "send" in answer.problem(415, field)["detail"]
    assert await topics.ends() == before


PACKED = {**JSON, "Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"event_type":"x","path":"/"}',
        gzip.compress(b'{"event_type":"x","path":"/"}')[:-1],
        gzip.compress(b'{"event_type":"x","path":"/"}')[:-5] + b"\0\0\0\0\0",
        gzip.compress(b'{"event_type":"x","path":"/"}') + b"more",
    ],
    ids=["empty", "not packed", "cut off", "damaged", "followed by something"],
)
async def test_what_is_not_gzip(edge: Weir, topics: LogOfTopics, body: bytes) -> None:
    before = await topics.ends()
    answer = await ask(edge, "POST", EVENTS, body, PACKED)
    assert "cannot be unpacked as gzip" in answer.problem(400, "body")["detail"]
    assert await topics.ends() == before


async def test_a_bomb_is_refused_before_it_is_unpacked(edge: Weir, topics: LogOfTopics) -> None:
    before = await topics.ends()
    bomb = gzip.compress(b"0" * 500_000_000)
    assert len(bomb) < MAX_REQUEST_BYTES
    [api, *_] = [each for each in edge.processes if each.name.endswith("-api")]
    memory = psutil.Process(api.pid).memory_info().rss
    answer = await ask(edge, "POST", EVENTS, bomb, PACKED)
    assert "unpacked, the body is larger" in answer.problem(413, "body")["detail"]
    assert psutil.Process(api.pid).memory_info().rss < memory + 64_000_000
    assert await topics.ends() == before


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("limit=0", "limit", "at least 1"),
        ("limit=-1", "limit", "at least 1"),
        ("limit=100000", "limit", "at most 1"),
        (f"limit={10**30}", "limit", "at most 1"),
        ("limit=many", "limit", "a whole number"),
        ("limit=1.5", "limit", "a whole number"),
        ("limit=", "limit", "a whole number"),
        ("limit=1&limit=2", "limit", "given twice"),
        ("event_type=page_view&event_type=conversion", "event_type", "given twice"),
        ("event_type=", "event_type", "leave it out"),
        ("from=", "from", A_TIME),
        ("from=yesterday", "from", A_TIME),
        ("from=1767225600", "from", A_TIME),
        ("to=2026-11-24T09:30:61Z", "to", A_TIME),
        ("from=2026-11-24", "from", "add `Z` for UTC"),
        ("to=2026-11-24T09:30:00", "to", "add `Z` for UTC"),
        ("from=2026-11-24T09:30:00+02:00", "from", "write the + as %2B"),
        ("from=3000-01-01T00:00:00Z", "from", "between 1970 and 2106"),
        ("to=1969-12-31T23:59:59Z", "to", "between 1970 and 2106"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-31T23:59:59Z", "to", "before `from`; swap"),
        ("start=2026-11-24T00:00:00Z", "start", "/docs lists"),
        ("colour=red", "colour", "/docs lists"),
        ("LIMIT=1", "LIMIT", "/docs lists"),
    ],
)
@pytest.mark.parametrize("endpoint", [EVENTS, SUMMARY])
async def test_a_bad_parameter(
    edge: Weir, endpoint: str, query: str, field: str, says: str
) -> None:
    detail = (await ask(edge, "GET", f"{endpoint}?{query}")).problem(422, field)["detail"]
    assert detail.startswith(field)
    assert says in detail
    assert "nput should" not in detail


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "A" * 600, "W10", "bnVsbA", "WzEsMiwzLDRd", "é", "eyJhIjoxfQ"]
)
async def test_a_cursor_that_is_none(edge: Weir, cursor: str) -> None:
    answer = await get(edge, EVENTS, cursor=cursor)
    assert "take next_cursor from the page before" in answer.problem(422, "cursor")["detail"]


async def test_several_bad_parameters_are_all_named(edge: Weir) -> None:
    answer = await get(edge, SUMMARY, limit="x", colour="red", event_type="")
    assert answer.status == 422
    assert {error["field"] for error in answer.json["errors"]} == {"limit", "colour", "event_type"}


SQL = [
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    "\\'; DROP TABLE events; --",
    "{limit:UInt32}",
    "1; DROP TABLE events",
    "1) UNION ALL SELECT version(), 1, 1 --",
    "page_view' OR event_type != '",
    "\t\n\\N\0",
]


async def test_sql_in_every_parameter_changes_nothing(edge: Weir) -> None:
    parameters = {
        EVENTS: ("event_type", "path", "user_id", "from", "to", "cursor", "limit"),
        SUMMARY: ("event_type", "from", "to", "limit"),
    }
    await post(edge, {**VALID, "user_id": "u-1"})

    def tables() -> list[tuple[Json, ...]]:
        return edge.query(
            "SELECT name, metadata_version FROM system.tables WHERE database = {name:String}"
            " ORDER BY name",
            name=edge.name,
        )

    before = await asyncio.to_thread(tables)
    asked = [(endpoint, name) for endpoint, names in parameters.items() for name in names]
    for (endpoint, name), sql in product(asked, SQL):
        answer = await ask(edge, "GET", f"{endpoint}?{name}={quote(sql)}")
        if name in {"event_type", "path", "user_id"}:
            assert (answer.status, answer.json["items"]) == (200, []), (endpoint, name, sql)
        else:
            answer.problem(422, name)
    assert len(before) > 4
    assert await asyncio.to_thread(tables) == before
    assert await items(edge, limit=1)


@pytest.mark.parametrize("target", ["/", "/nope", "/{path}", "/%00%7B0%7D", "/analytics/events/"])
async def test_what_is_not_there(edge: Weir, target: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert "/docs lists" in (await ask(edge, method, target)).problem(404)["detail"]


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", EVENTS, "GET, HEAD, POST"),
        ("DELETE", EVENTS, "GET, HEAD, POST"),
        ("OPTIONS", EVENTS, "GET, HEAD, POST"),
        ("TRACE", EVENTS, "GET, HEAD, POST"),
        ("POST", SUMMARY, "GET, HEAD"),
        ("PATCH", "/healthz", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_possible(
    edge: Weir, method: str, target: str, allowed: str
) -> None:
    answer = await ask(edge, method, target)
    assert allowed in answer.problem(405)["detail"]
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("target", [EVENTS, SUMMARY, "/healthz", "/readyz", "/docs"])
async def test_head_is_get_without_the_body(edge: Weir, target: str) -> None:
    answer = await ask(edge, "HEAD", target)
    assert (answer.status, answer.body) == (200, b"")
    assert (
        answer.headers["Content-Type"] == (await ask(edge, "GET", target)).headers["Content-Type"]
    )
    assert int(answer.headers["Content-Length"]) > 0


async def connection(weir: Weir) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(weir.url)
    assert parts.hostname is not None
    return await asyncio.open_connection(parts.hostname, parts.port)


async def test_a_client_that_leaves_within_its_body(edge: Weir, topics: LogOfTopics) -> None:
    before = await topics.ends()
    for _ in range(5):
        _, writer = await connection(edge)
        writer.write(
            b"POST /analytics/events HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"event_type":"x",'
        )
        await writer.drain()
        writer.transport.abort()
    assert (await ask(edge, "GET", "/healthz")).status == 200
    assert await topics.ends() == before
