"""Inserts: one block, one token, whole or not at all."""

import json
import socket
import time
from collections.abc import Generator

import psutil
import pytest
from clickhouse_connect.driver.client import Client

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services

_ROWS = 50_000


@pytest.fixture
def events(client: Client) -> Client:
    """A table with a rollup, both with a window of known tokens."""
    client.command(
        "CREATE TABLE events (at Date, id UInt64, path String) ENGINE = MergeTree "
        "PARTITION BY toYYYYMM(at) ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    )
    client.command(
        "CREATE TABLE daily (at Date, n AggregateFunction(count)) ENGINE = AggregatingMergeTree "
        "ORDER BY at SETTINGS non_replicated_deduplication_window = 100"
    )
    client.command(
        "CREATE MATERIALIZED VIEW daily_view TO daily AS "
        "SELECT at, countState() AS n FROM events GROUP BY at"
    )
    return client


def _rows(*, start: int = 0, months: int = 1, separator: bytes = b"\n") -> bytes:
    return separator.join(
        b'["2026-%02d-01",%d,"/path/%d"]' % (1 + number % months, number, number % 100)
        for number in range(start, start + _ROWS)
    )


def _counts(client: Client) -> tuple[int, int]:
    stored = client.query("SELECT count() FROM events").result_rows[0][0]
    rolled_up = client.query("SELECT countMerge(n) FROM daily").result_rows[0][0]
    return stored, rolled_up


def _insert(client: Client, rows: bytes, token: str) -> dict[str, object]:
    summary = client.raw_insert(
        "events",
        ["at", "id", "path"],
        rows,
        fmt="JSONCompactEachRow",
        settings={
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_partitions_per_insert_block": 0,
        },
    )
    return dict(summary.summary)


def test_a_token_inserts_once_into_table_and_rollup(events: Client) -> None:
    _insert(events, _rows(), "page-views:0:0-49999")
    assert _counts(events) == (_ROWS, _ROWS)
    _insert(events, _rows(), "page-views:0:0-49999")
    assert _counts(events) == (_ROWS, _ROWS)
    _insert(events, _rows(start=_ROWS), "page-views:0:50000-99999")
    assert _counts(events) == (2 * _ROWS, 2 * _ROWS)


def test_without_the_token_the_same_rows_count_twice(events: Client) -> None:
    _insert(events, _rows(), "a")
    _insert(events, _rows(), "b")
    assert _counts(events) == (2 * _ROWS, 2 * _ROWS)


def test_a_token_covers_every_partition_of_its_insert(events: Client) -> None:
    for _ in range(3):
        _insert(events, _rows(months=12), "twelve months")
    assert _counts(events) == (_ROWS, _ROWS)


@pytest.mark.parametrize("separator", [b"\n", b",\n", b","])
def test_an_insert_of_fifty_thousand_rows_is_one_block(events: Client, separator: bytes) -> None:
    events.command("SYSTEM STOP MERGES events")
    _insert(events, _rows(separator=separator), "one")
    parts = events.query(
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'events'"
    ).result_rows
    assert parts == [(_ROWS,)]


def test_wide_rows_are_one_block_too(clickhouse: EmbeddedClickHouse, events: Client) -> None:
    events.command("SYSTEM STOP MERGES events")
    rows = b"\n".join(json.dumps(["2026-01-01", n, "x" * 1000]).encode() for n in range(_ROWS))
    _insert(events, rows, "wide")
    parts = events.query(
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'events'"
    ).result_rows
    assert parts == [(_ROWS,)]


def test_partitions_beyond_the_limit_are_refused_as_the_engine_does(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    answer = curl(
        clickhouse,
        query="INSERT INTO events FORMAT JSONCompactEachRow",
        body=_rows(months=12),
        database=events.database or "",
        max_partitions_per_insert_block=3,
    )
    assert answer.headers["x-clickhouse-exception-code"] == "252"
    assert _counts(events)[0] == 0


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("CREATE TABLE x (a UInt64, CONSTRAINT c CHECK a < 5) ENGINE = MergeTree ORDER BY a", 469),
        ("CREATE TABLE x (a UInt64) ENGINE = MergeTree PARTITION BY a ORDER BY a", 252),
        (
            "CREATE TABLE x (a UInt64, b UInt8 DEFAULT throwIf(a > 5)) ENGINE = Log",
            395,
        ),
    ],
)
def test_rows_that_the_table_refuses_are_never_acknowledged(
    clickhouse: EmbeddedClickHouse, client: Client, definition: str, code: int
) -> None:
    client.command(definition)
    rows = b"".join(b"%d\n" % number for number in range(200))
    answer = curl(
        clickhouse,
        query="INSERT INTO x (a) FORMAT TSV",
        body=rows,
        database=client.database or "",
    )
    assert answer.headers.get("x-clickhouse-exception-code") == str(code), answer.text
    assert client.query("SELECT count() FROM x").first_row == (0,)


def test_an_error_in_a_view_is_an_error_of_the_insert(
    clickhouse: EmbeddedClickHouse, client: Client
) -> None:
    client.command("CREATE TABLE x (a UInt64) ENGINE = MergeTree ORDER BY a")
    client.command(
        "CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY b "
        "AS SELECT throwIf(a > 5) AS b FROM x"
    )
    answer = curl(clickhouse, body="INSERT INTO x VALUES (1), (6)", database=client.database or "")
    assert answer.headers.get("x-clickhouse-exception-code") == "395"


def test_settings_in_the_statement(events: Client, clickhouse: EmbeddedClickHouse) -> None:
    insert = (
        "INSERT INTO events (at, id) SETTINGS insert_deduplication_token = 'same', "
        "deduplicate_blocks_in_dependent_materialized_views = 1 "
    )
    for tail in ("VALUES ('2026-01-01', 1)", 'FORMAT JSONEachRow {"at":"2026-01-01","id":2}'):
        answer = curl(clickhouse, body=insert + tail, database=events.database or "")
        assert answer.status == 200, answer.text
    assert _counts(events) == (1, 1)


def test_files_of_the_server_are_not_read(clickhouse: EmbeddedClickHouse, events: Client) -> None:
    answer = curl(
        clickhouse,
        body="INSERT INTO events (path) FROM INFILE '/etc/hosts' FORMAT LineAsString",
        database=events.database or "",
    )
    assert answer.headers["x-clickhouse-exception-code"] == "78"


def test_summary_counts_the_rows_of_table_and_views(events: Client) -> None:
    assert _insert(events, _rows(), "summary")["written_rows"] == str(_ROWS + 1)


def test_a_row_that_does_not_parse_stores_nothing(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    answer = curl(
        clickhouse,
        query="INSERT INTO events FORMAT JSONCompactEachRow",
        body=_rows() + b'\n["2026-01-01","x"',
        database=events.database or "",
    )
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (400, "27")
    assert "/fd/" not in answer.text
    assert _counts(events) == (0, 0)


def _half_an_insert(server: EmbeddedClickHouse, database: str) -> socket.socket:
    """A connection on which a whole row and half of the promised bytes were sent."""
    rows = _rows()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(
        f"POST /?database={database}&query=INSERT+INTO+events+FORMAT+JSONCompactEachRow HTTP/1.1"
        f"\r\nHost: 127.0.0.1\r\nContent-Length: {2 * len(rows)}\r\n\r\n".encode()
        + rows
    )
    return connection


def test_a_client_that_leaves_in_mid_body_stores_nothing(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    _half_an_insert(clickhouse, events.database or "").close()
    # A later insert is through: the one before it can store nothing any more.
    _insert(events, _rows(), "later")
    assert _counts(events) == (_ROWS, _ROWS)


def test_a_client_that_stalls_in_mid_body_is_cut(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    started = time.monotonic()
    with _half_an_insert(clickhouse, events.database or "") as connection:
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b" 503 " in answer.splitlines()[0]
    assert b"Code: 209." in answer
    assert 0.9 < time.monotonic() - started < 5
    assert _counts(events) == (0, 0)


def test_stalled_bodies_hold_no_connection_of_the_engine(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    stalled = [_half_an_insert(clickhouse, events.database or "") for _ in range(10)]
    try:
        started = time.monotonic()
        assert events.query("SELECT 1").first_row == (1,)
        assert time.monotonic() - started < 0.5
    finally:
        for connection in stalled:
            connection.close()


def test_a_large_insert_is_read_in_bounded_memory(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    events.command("CREATE TABLE wide (s String) ENGINE = Null")
    process = psutil.Process(clickhouse.process.pid)
    before = process.memory_info().rss
    peak = 0
    line = b"x" * 9_999 + b"\n"

    def body() -> Generator[bytes, None, None]:
        nonlocal peak
        for _ in range(400):
            peak = max(peak, process.memory_info().rss)
            yield line * 100

    events.raw_insert("wide", insert_block=body(), fmt="LineAsString")
    assert peak - before < 150 * 1024**2


def test_an_insert_that_was_sent_in_whole_is_finished_without_its_client(
    clickhouse: EmbeddedClickHouse, events: Client
) -> None:
    rows = _rows()
    with socket.create_connection(("127.0.0.1", clickhouse.port)) as connection:
        connection.sendall(
            f"POST /?database={events.database}&query=INSERT+INTO+events+FORMAT+"
            f"JSONCompactEachRow HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(rows)}\r\n\r\n".encode()
            + rows
        )
    # All of it or nothing: the client cannot know which, and repeats it with its token.
    assert eventually(lambda: _counts(events) in {(_ROWS, _ROWS), (0, 0)})
