"""Exports hold all that was sent, in each format; they end when they should, and say when not."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from aiohttp import web
from clickhouse_connect import get_client

from api.clickhouse import _whole
from api.problems import Problem
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.api.requests import ask, get, post
from tests.services import ClickHouseService, Services
from tests.weir import Json, Weir, all_taken, throwaway_weir

pytestmark = pytest.mark.services

EXPORT: Final = "/analytics/export"
MIB: Final = 1_048_576
ROWS: Final = 300_000
SENT: Final = {"from_": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
MANY: Final = {"from_": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z"}
MEDIA_TYPES: Final = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

# As their senders wrote them: numbers that no float holds, what CSV and JSON have to quote.
METADATA: Final = (
    '{"id": 123456789012345678901234567890, "price": 0.10000000000000000000000000001}',
    '{"text": "a, \\"b\\"\\nc\\r\\n\\td\\\\ /e/", "\U0001f30a": "caf\u00e9 \u2028 \u4f60\u597d"}',
    '{\n  "indented": [\r\n    1,\n    {"deep": null}\n  ]\n}',
    "{}",
)
PATHS: Final = ("/a,b", '/"quoted"/\u00fc', "/\U0001f30a;=1+2", "/plain")

MAKE_MANY: Final = """
INSERT INTO events (
    event_id, event_type, path, user_id, visitor_id, source, occurred_at, received_at, metadata,
    topic, partition, incarnation, offset, bot, device, browser, status, method
)
SELECT
    generateUUIDv4(), 'page_view', concat('/products/', toString(number % 1000)),
    if(number % 2 = 0, '', concat('user-', toString(number % 100))),
    concat('visitor-', toString(number % 5000)), 'web',
    toDateTime64('2020-03-01 00:00:00.000', 3, 'UTC') + (number * 7919) % 300000 AS occurred,
    occurred, concat('{{"duration_ms":', toString(number), ',"user_agent":"Mozilla/5.0 (X11)"}}'),
    'page-views', number % 6, 1, number, number % 10 = 0, 'desktop', 'Firefox', '200', 'GET'
FROM numbers({rows})
"""


def sent_event(number: int) -> dict[str, Json]:
    """The event but for its metadata, whose text is not this process's to write."""
    event: dict[str, Json] = {
        "event_id": str(uuid4()),
        "event_type": "page_view",
        "path": PATHS[number % len(PATHS)],
        "occurred_at": f"2026-11-0{1 + number}T10:00:00.{number:03}Z",
    }
    if number % 2:
        event |= {"user_id": f"\u00fcser, {number}", "visitor_id": "v'1", "source": "web"}
    return event


EVENTS: Final = [sent_event(number) for number in range(8)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exporting(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """Few events that were sent, and many of another year, made by SQL."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("export")) as weir:
        await weir.start_api({"WEIR_MAX_EXPORTS": "2"})
        sink = weir.start_sink()
        for number, event in enumerate(EVENTS):
            text = json.dumps(event)[:-1] + f', "metadata": {metadata_of(number)}}}'
            assert (await post(weir, text.encode())).status == 202
        await weir.eventually(partial(all_taken, weir), process=sink)
        await sink.stop()
        await asyncio.to_thread(make_many, weir)
        yield weir


def command(weir: Weir, statement: str) -> None:
    settings = weir.clickhouse
    with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
        client.command(statement)


def make_many(weir: Weir) -> None:
    command(weir, MAKE_MANY.format(rows=ROWS))


def metadata_of(number: int) -> str:
    return METADATA[number % len(METADATA)]


def from_ndjson(body: bytes) -> list[dict[str, Json]]:
    lines = body.split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line, parse_float=Decimal) for line in lines]


def from_csv(body: bytes) -> list[dict[str, Json]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def from_parquet(body: bytes) -> list[dict[str, Json]]:
    rows: list[dict[str, Json]] = pq.read_table(pa.BufferReader(body)).to_pylist()
    return rows


READERS: Final[dict[str, Callable[[bytes], list[dict[str, Json]]]]] = {
    "ndjson": from_ndjson,
    "csv": from_csv,
    "parquet": from_parquet,
}
FORMATS: Final = tuple(READERS)


async def exported(weir: Weir, format_: str, **parameters: str) -> list[dict[str, Json]]:
    answer = await get(weir, EXPORT, format=format_, **parameters)
    assert answer.status == 200, answer.body[:500]
    assert answer.headers["Content-Type"].split(";")[0] == MEDIA_TYPES[format_]
    return READERS[format_](answer.body)


@pytest.mark.parametrize("format_", FORMATS)
async def test_what_was_sent_comes_back_oldest_first(exporting: Weir, format_: str) -> None:
    rows = await exported(exporting, format_, **SENT)
    absent = "" if format_ == "csv" else None
    assert len(rows) == len(EVENTS)
    for number, (row, event) in enumerate(zip(rows, EVENTS, strict=True)):
        for name in ("event_id", "event_type", "path"):
            assert row[name] == event[name]
        for name in ("user_id", "visitor_id", "source"):
            assert row[name] == event.get(name, absent)
        occurred = row["occurred_at"]
        if format_ == "parquet":
            occurred = occurred.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert occurred == event["occurred_at"]
        assert str(row["bot"]).lower() == "false"
        metadata = row["metadata"]
        if format_ != "ndjson":
            assert isinstance(metadata, str)
            metadata = json.loads(metadata, parse_float=Decimal)
        assert metadata == json.loads(metadata_of(number), parse_float=Decimal)


async def test_the_formats_and_the_list_have_the_same_columns(exporting: Weir) -> None:
    [listed] = (await get(exporting, "/analytics/events", limit=1, **SENT)).json["items"]
    for format_ in FORMATS:
        row = (await exported(exporting, format_, **SENT))[-1]
        assert list(row) == list(listed)
    [*_, last] = await exported(exporting, "ndjson", **SENT)
    assert json.loads(json.dumps(last, default=float)) == listed


async def test_metadata_in_ndjson_is_the_text_that_was_sent(exporting: Weir) -> None:
    lines = (await get(exporting, EXPORT, **SENT)).body.decode().split("\n")[:-1]
    for number, line in enumerate(lines):
        expected = metadata_of(number).replace("\r", " ").replace("\n", " ")
        assert line.endswith(f',"metadata":{expected}}}')


@pytest.mark.parametrize("format_", FORMATS)
async def test_many_events_are_all_there_in_order_and_memory_stays(
    exporting: Weir, format_: str
) -> None:
    api = psutil.Process(exporting.processes[0].pid)
    await get(exporting, EXPORT, format=format_, **SENT)
    before = peak = api.memory_info().rss
    parts = []
    async with opened(exporting, format=format_, **MANY) as answer:
        async for piece in answer.content.iter_any():
            parts.append(piece)
            if len(parts) % 16 == 0:
                peak = max(peak, api.memory_info().rss)
    assert peak - before < 32 * MIB
    rows = READERS[format_](b"".join(parts))
    assert len({row["event_id"] for row in rows}) == ROWS
    times = [row["occurred_at"] for row in rows]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"bots": "only"}, ROWS // 10),
        ({"bots": "exclude"}, ROWS * 9 // 10),
        ({"path": "/products/7"}, ROWS // 1000),
        ({"path": "/products/7", "user_id": "user-7"}, ROWS // 1000),
        ({"path": "/products/7", "user_id": "user-8"}, 0),
        ({"device": "desktop", "browser": "Firefox", "status": "200", "source": "web"}, ROWS),
        ({"source": ""}, 0),
        ({"referrer": "", "country": "", "path": "/products/1"}, ROWS // 1000),
        ({"event_type": "signup"}, 0),
        ({"to": "2020-03-01T00:00:10Z"}, 10),
    ],
    ids=str,
)
async def test_filters(exporting: Weir, filters: dict[str, str], count: int) -> None:
    assert len(await exported(exporting, "ndjson", **{**MANY, **filters})) == count


async def test_filters_for_what_is_absent_find_it(exporting: Weir) -> None:
    for format_ in FORMATS:
        rows = await exported(exporting, format_, source="", **SENT)
        assert [row["event_id"] for row in rows] == [event["event_id"] for event in EVENTS[::2]]


async def test_nothing_is_a_whole_answer_in_each_format(exporting: Weir) -> None:
    answers = {name: await get(exporting, EXPORT, format=name, path="/none") for name in FORMATS}
    assert {answer.status for answer in answers.values()} == {200}
    assert answers["ndjson"].body == b""
    [header] = csv.reader(io.StringIO(answers["csv"].body.decode()))
    table = pq.read_table(pa.BufferReader(answers["parquet"].body))
    assert table.num_rows == 0
    assert table.column_names == header
    assert str(table.schema.field("occurred_at").type) == "timestamp[ms, tz=UTC]"


@pytest.mark.parametrize(
    ("accept", "parameters", "extension"),
    [
        ("*/*", {}, "ndjson"),
        ("text/csv", {}, "csv"),
        ("application/vnd.apache.parquet", {}, "parquet"),
        ("text/csv;q=0.5, application/vnd.apache.parquet", {}, "parquet"),
        ("text/html, */*", {}, "ndjson"),
        ("text/csv", {"format": "ndjson"}, "ndjson"),
    ],
)
async def test_the_format_is_chosen(
    exporting: Weir, accept: str, parameters: dict[str, str], extension: str
) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    target = f"{EXPORT}?path=/none&{query}".rstrip("&")
    answer = await ask(exporting, "GET", target, headers={"Accept": accept})
    assert answer.headers["Content-Type"].split(";")[0] == MEDIA_TYPES[extension]
    assert (
        answer.headers["Content-Disposition"] == f'attachment; filename="weir-events.{extension}"'
    )
    assert answer.headers["Vary"] == "Accept"


async def test_the_file_is_named_for_the_range(exporting: Weir) -> None:
    async def name(**parameters: str) -> str:
        answer = await get(exporting, EXPORT, path="/none", **parameters)
        return answer.headers["Content-Disposition"].partition("=")[2].strip('"')

    assert await name(**SENT) == "weir-events-2026-11-01-2026-12-01.ndjson"
    assert await name(from_="2026-11-01T00:00:00+02:00") == "weir-events-from-2026-10-31.ndjson"
    assert await name(to=SENT["to"], format="csv") == "weir-events-to-2026-12-01.csv"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=xml", "format"),
        ("format=", "format"),
        ("format=csv&format=csv", "format"),
        ("limit=5", "limit"),
        ("from=yesterday", "from"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
    ],
)
async def test_bad_parameters_are_named(exporting: Weir, query: str, field: str) -> None:
    (await ask(exporting, "GET", f"{EXPORT}?{query}")).problem(422, field)


@asynccontextmanager
async def opened(weir: Weir, **parameters: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """An export that is read as fast as the test reads it; left at the block's end."""
    named = {name.rstrip("_"): value for name, value in parameters.items()}
    async with aiohttp.ClientSession(read_bufsize=65_536) as session:
        answer = await session.get(weir.url + EXPORT, params=named)
        try:
            assert answer.status == 200
            yield answer
        finally:
            answer.close()


RUNNING: Final = (
    "FROM system.processes WHERE query LIKE '%toJSONString%' AND query NOT LIKE '%processes%'"
)

KILL: Final = "KILL QUERY WHERE query LIKE '%FROM events%FORMAT %' ASYNC"


async def running(weir: Weir, count: int) -> bool:
    rows = await asyncio.to_thread(weir.query, f"SELECT count() {RUNNING}")
    return rows == [(count,)]


async def test_a_reader_that_stops_fills_no_memory_and_hinders_nobody(exporting: Weir) -> None:
    weir = exporting
    api = psutil.Process(weir.processes[0].pid)
    before = peak = api.memory_info().rss
    async with opened(weir, **MANY) as slow:
        lines = (await slow.content.readany()).count(b"\n")
        async with opened(weir, **MANY) as fast:
            async for _ in fast.content.iter_any():
                peak = max(peak, api.memory_info().rss)
        assert peak - before < 32 * MIB
        assert (await get(weir, "/analytics/summary", **MANY)).status == 200
        assert await running(weir, 1)
        async for piece in slow.content.iter_any():
            lines += piece.count(b"\n")
    assert lines == ROWS


async def test_a_client_that_leaves_ends_the_query(exporting: Weir) -> None:
    async with opened(exporting, **MANY) as answer:
        await answer.content.readany()
        assert await running(exporting, 1)
    await exporting.eventually(partial(running, exporting, 0), within=10)


async def test_head_answers_as_get_and_asks_nothing(exporting: Weir) -> None:
    async with opened(exporting, **MANY), opened(exporting, **MANY):
        # All places are taken, which a HEAD does not need.
        head = await ask(exporting, "HEAD", f"{EXPORT}?format=csv&path=/none")
        assert await running(exporting, 2)
        assert (await ask(exporting, "HEAD", f"{EXPORT}?format=xml")).status == 422
    await exporting.eventually(partial(running, exporting, 0), within=10)
    got = await get(exporting, EXPORT, format="csv", path="/none")
    assert head.status == 200
    assert head.body == b""
    assert "Content-Length" not in head.headers
    for name in ("Content-Type", "Content-Disposition", "Vary"):
        assert head.headers[name] == got.headers[name]


async def test_more_exports_than_there_may_be_are_told_when_to_come_again(exporting: Weir) -> None:
    async def possible() -> bool:
        return (await get(exporting, EXPORT, path="/none")).status == 200

    async with opened(exporting, **MANY), opened(exporting, **MANY):
        refused = await get(exporting, EXPORT, path="/none")
        assert "2 streams" in refused.problem(503)["detail"]
        assert int(refused.headers["Retry-After"]) >= 1
    await exporting.eventually(possible, within=10)


@pytest.mark.parametrize("format_", ["ndjson", "csv"])
async def test_an_error_in_mid_answer_breaks_it_off(exporting: Weir, format_: str) -> None:
    received = b""
    async with opened(exporting, format=format_, **MANY) as answer:
        received += await answer.content.readany()
        await asyncio.to_thread(command, exporting, KILL)
        with pytest.raises(aiohttp.ClientPayloadError):
            received += await answer.read()
    assert b"__exception__" not in received
    assert b"DB::Exception" not in received


async def test_curl_says_that_an_export_is_not_whole(exporting: Weir, tmp_path: Path) -> None:
    target = f"{exporting.url}{EXPORT}?from={MANY['from_']}&to={MANY['to']}"
    file = tmp_path / "events.ndjson"
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sf", "--limit-rate", "1M", "-o", str(file), target)
    )
    await exporting.eventually(partial(running, exporting, 1), within=10)
    await exporting.eventually(partial(has_bytes, file), within=10)
    await asyncio.to_thread(command, exporting, KILL)
    async with asyncio.timeout(60):
        assert await curl.wait() == 18


async def has_bytes(file: Path) -> bool:
    return await asyncio.to_thread(file.exists) and (await asyncio.to_thread(file.stat)).st_size > 0


@pytest_asyncio.fixture(loop_scope="session")
async def fragile(
    services: Services, tmp_path: Path
) -> AsyncIterator[tuple[Weir, ClickHouseService]]:
    """Many events in a ClickHouse that may be killed."""
    clickhouse = ClickHouseService(tmp_path, free_port(), tmp_path / "clickhouse.log")
    await clickhouse.start()
    try:
        own = Services(services.kafka_servers, clickhouse.url, services.kafka, clickhouse)
        async with throwaway_weir(own, tmp_path) as weir:
            await asyncio.to_thread(make_many, weir)
            yield weir, clickhouse
            if clickhouse.process is not None and not clickhouse.process.running:
                await clickhouse.start()
    finally:
        await clickhouse.stop()


async def test_clickhouse_killed_in_mid_answer(fragile: tuple[Weir, ClickHouseService]) -> None:
    weir, clickhouse = fragile
    api = await weir.start_api()
    async with opened(weir, **MANY) as answer:
        await answer.content.readany()
        await clickhouse.kill()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert "ClickHouse" in (await get(weir, EXPORT)).problem(503)["detail"]

    async def broken_off() -> bool:
        return logged(api, "export broken off")

    await weir.eventually(broken_off, within=10, process=api)
    assert not logged(api, "Traceback")
    await clickhouse.start()
    assert len(await exported(weir, "ndjson", **MANY)) == ROWS


def logged(process: ManagedProcess, text: str) -> bool:
    return any(text in line for line in process.last_lines(100))


async def test_an_export_beyond_its_time_breaks_off(exporting: Weir) -> None:
    url = exporting.url
    api = await exporting.start_api({"WEIR_EXPORT_TIMEOUT": "3"})

    async def broken_off() -> bool:
        return logged(api, "export broken off")

    try:
        async with opened(exporting, **MANY) as answer:
            # Who reads nothing holds it up, however long it may take.
            await exporting.eventually(broken_off, within=10, process=api)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        await exporting.eventually(partial(running, exporting, 0), within=10)
    finally:
        exporting.url = url
        await api.stop()


TAG: Final = "0123456789abcdef"
ERROR: Final = (
    b"\r\n__exception__\r\n" + TAG.encode() + b"\r\nCode: 241. DB::Exception: \r\n"
    b"23 " + TAG.encode() + b"\r\n__exception__\r\n"
)


async def passed_on(tag: str, pieces: list[bytes]) -> bytes:
    """What is passed on of a server's answer. Raises as `_whole`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-ClickHouse-Exception-Tag": tag} if tag else {})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession() as session:
            response = await session.get(f"http://127.0.0.1:{port}/")
            return b"".join([piece async for piece in _whole(response, b"}\n")])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_tagged_error_is_no_data_however_it_is_cut(size: int) -> None:
    data = b'{"a":1}\n' * 5 + ERROR
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(Problem) as caught:
        await passed_on(TAG, pieces)
    assert caught.value.status == 503


async def test_an_error_without_a_tag_behind_the_rows_is_no_end() -> None:
    with pytest.raises(Problem):
        await passed_on("", [b'{"a":1}\n', b"Code: 241. DB::Exception: (version 24.3)\n"])


async def test_the_tag_of_another_answer_is_data() -> None:
    data = b'{"a":"__exception__ fedcba9876543210"}\n'
    assert await passed_on(TAG, [data, data]) == data * 2
    assert await passed_on("", []) == b""
