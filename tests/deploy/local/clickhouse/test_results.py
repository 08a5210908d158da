"""Results: streamed, bounded in memory, cancelled when nobody reads them, honest when broken."""

import asyncio
import socket
import time
from pathlib import Path

import clickhouse_connect
import psutil
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import StreamFailureError

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services

_FAILS_LATE = (
    "SELECT number, repeat('x', 100) AS s, throwIf(number = 3000000) FROM numbers(10000000) "
    "SETTINGS max_block_size = 65536, max_threads = 1"
)
# Runs for minutes unless it is cancelled.
_LONG = "SELECT sum(sipHash64(number)) FROM numbers(40000000000)"


def _running(client: Client, part: str) -> int:
    return int(
        client.query(
            "SELECT count() FROM system.processes WHERE query LIKE {part:String} "
            "AND query NOT LIKE '%system.processes%'",
            parameters={"part": f"%{part}%"},
        ).result_rows[0][0]
    )


def _send_query(server: EmbeddedClickHouse, sql: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sql)}\r\n\r\n{sql}".encode()
    )
    return connection


@pytest.mark.parametrize(
    "fmt", ["Native", "TabSeparated", "CSVWithNames", "RowBinaryWithNamesAndTypes", "JSONEachRow"]
)
def test_a_result_of_500_mb_is_streamed_in_constant_memory(
    clickhouse: EmbeddedClickHouse, client: Client, fmt: str
) -> None:
    process = psutil.Process(clickhouse.process.pid)
    client.query("SELECT 1")
    before = process.memory_info().rss
    size, peak = 0, before
    with client.raw_stream(
        "SELECT number, repeat('x', 100) AS s FROM numbers(5000000)", fmt=fmt
    ) as stream:
        while piece := stream.read(4 * 1024**2):
            size += len(piece)
            peak = max(peak, process.memory_info().rss)
    assert size > 500_000_000
    assert peak - before < 200 * 1024**2


@pytest.mark.parametrize("fmt", ["Parquet", "ArrowStream", "ORC", "Avro"])
def test_formats_that_cannot_be_joined_are_streamed_too(
    clickhouse: EmbeddedClickHouse, client: Client, fmt: str
) -> None:
    process = psutil.Process(clickhouse.process.pid)
    client.query("SELECT 1")
    before = process.memory_info().rss
    size, peak = 0, before
    with client.raw_stream(
        "SELECT number, randomString(100) AS s FROM numbers(4000000) SETTINGS max_threads = 1, "
        "output_format_parquet_row_group_size = 50000, output_format_orc_row_index_stride = 10000",
        fmt=fmt,
    ) as stream:
        while piece := stream.read(4 * 1024**2):
            size += len(piece)
            peak = max(peak, process.memory_info().rss)
    assert size > 400_000_000
    assert peak - before < 300 * 1024**2


def test_an_error_in_a_piped_result_is_seen(clickhouse: EmbeddedClickHouse) -> None:
    early = curl(clickhouse, body="SELECT throwIf(number = 9) FROM numbers(10) FORMAT Parquet")
    assert (early.status, early.headers["x-clickhouse-exception-code"]) == (500, "395")
    late = curl(
        clickhouse,
        body="SELECT randomString(100), throwIf(number = 3000000) FROM numbers(10000000) "
        "SETTINGS max_threads = 1, output_format_parquet_row_group_size = 50000 FORMAT Parquet",
    )
    assert (late.status, late.exit_code) == (200, 18)


def test_a_piped_query_ends_when_its_client_leaves(
    clickhouse: EmbeddedClickHouse, client: Client
) -> None:
    sql = (
        "SELECT randomString(100) FROM numbers(1000000007) "
        "SETTINGS output_format_parquet_row_group_size = 50000 FORMAT Parquet"
    )
    connection = _send_query(clickhouse, sql)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert _running(client, "1000000007") == 1
    connection.close()
    assert eventually(lambda: _running(client, "1000000007") == 0)


@pytest.mark.parametrize(
    "fmt",
    [
        *("TabSeparated", "TabSeparatedWithNames", "TSVWithNamesAndTypes", "TabSeparatedRaw"),
        *("CSV", "CSVWithNames", "CSVWithNamesAndTypes", "TSKV"),
        *("JSONEachRow", "JSONCompactEachRow", "JSONCompactEachRowWithNamesAndTypes"),
        *("JSONCompactStringsEachRowWithNames", "RowBinary", "RowBinaryWithNames"),
        *("RowBinaryWithNamesAndTypes", "Native", "MsgPack", "LineAsString"),
        *(
            "JSON",
            "JSONCompact",
            "Values",
            "XML",
            "Parquet",
            "ArrowStream",
            "Markdown",
            "SQLInsert",
        ),
    ],
)
def test_a_streamed_result_reads_back_as_it_was(
    clickhouse: EmbeddedClickHouse, client: Client, fmt: str
) -> None:
    columns = (
        "number AS a, repeat('y', 30) AS `b \"\n,c`"
        if fmt.startswith(("CSV", "JSON"))
        else ("number AS a, repeat('y', 30) AS b")
    )
    if fmt == "LineAsString":
        columns = "repeat('y', 30 + number % 7) AS b"
    sql = f"SELECT {columns} FROM numbers(200000) FORMAT {fmt}"  # noqa: S608
    # Small blocks, many of them: the answer is put together from all of these.
    streamed = curl(clickhouse, body=sql, max_block_size=10_000, max_threads=1)
    assert streamed.status == 200
    if fmt in {"JSON", "JSONCompact", "Values", "XML", "Parquet", "ArrowStream"}:
        assert len(streamed.body) > 100_000
        return
    single = curl(clickhouse, body=sql, max_block_size=1_000_000, max_threads=1)
    if fmt == "Native":
        size, names = "toUInt64(count())", "Native"
        client.command("CREATE TABLE n (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        curl(
            clickhouse,
            query=f"INSERT INTO n FORMAT {names}",
            body=streamed.body,
            database=client.database or "",
        )
        assert client.query(f"SELECT {size}, sum(a) FROM n").first_row == (200_000, 19_999_900_000)  # noqa: S608
    else:
        assert streamed.body == single.body


@pytest.mark.parametrize("fmt", ["TabSeparatedWithNames", "CSVWithNames", "JSON", "Native"])
def test_an_empty_result_keeps_its_header(clickhouse: EmbeddedClickHouse, fmt: str) -> None:
    answer = curl(clickhouse, body=f"SELECT number AS n FROM numbers(0) FORMAT {fmt}")  # noqa: S608
    assert (answer.status, answer.headers["x-clickhouse-format"]) == (200, fmt)
    if fmt != "Native":
        assert b"n" in answer.body


def test_totals_and_extremes_are_kept(clickhouse: EmbeddedClickHouse) -> None:
    sql = "SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k"
    assert curl(clickhouse, body=sql).text == "0\t2\n1\t2\n\n0\t4\n"
    extremes = curl(clickhouse, body="SELECT number FROM numbers(3)", extremes=1)
    assert extremes.text == "0\n1\n2\n\n0\n2\n"


def test_an_error_before_the_first_megabyte_is_an_http_error(
    clickhouse: EmbeddedClickHouse,
) -> None:
    answer = curl(clickhouse, body="SELECT throwIf(number = 9000) FROM numbers(10000)")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (500, "395")


def test_curl_sees_an_error_in_mid_stream(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, body=_FAILS_LATE)
    assert answer.status == 200
    assert answer.exit_code == 18  # "transfer closed with outstanding read data remaining"
    tag = answer.headers["x-clickhouse-exception-tag"].encode()
    end = answer.body[-2000:]
    start = end.index(b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395.")
    message = end[start:].split(tag + b"\r\n", 1)[1].rsplit(b"\n", 2)[0]
    assert end.endswith(b" " + tag + b"\r\n__exception__\r\n")
    length = end[: -len(b" " + tag + b"\r\n__exception__\r\n")].rsplit(b"\n", 1)[1]
    assert b"FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in message
    assert int(length) == end.index(b"\n" + length + b" " + tag) + 1 - end.index(b"Code: 395.")


@pytest.mark.parametrize("compress", ["", "lz4", "zstd", "gzip"])
def test_clickhouse_connect_sees_an_error_in_mid_stream(
    clickhouse: EmbeddedClickHouse, compress: str
) -> None:
    client = clickhouse.client(compress=compress or False)
    with pytest.raises(StreamFailureError, match="Code: 395"):
        len(client.query(_FAILS_LATE).result_rows)
    # The connection and the client are fit for the next query.
    assert client.query("SELECT 1").first_row == (1,)
    client.close()


@pytest.mark.parametrize("compress", ["", "lz4"])
async def test_the_async_client_sees_an_error_in_mid_stream(
    clickhouse: EmbeddedClickHouse, compress: str
) -> None:
    client = await clickhouse_connect.get_async_client(
        host="127.0.0.1",
        port=clickhouse.port,
        autogenerate_session_id=False,
        compress=compress or False,
    )
    with pytest.raises(StreamFailureError):
        len((await client.query(_FAILS_LATE)).result_rows)
    assert (await client.query("SELECT 1")).first_row == (1,)
    await client.close()


def test_a_query_ends_when_its_client_leaves_before_the_answer(
    clickhouse: EmbeddedClickHouse, client: Client
) -> None:
    for number in range(6):  # more often than there are connections
        marked = f"{_LONG} /* left {number} */"
        connection = _send_query(clickhouse, marked)
        assert eventually(lambda text=f"left {number}": _running(client, text) == 1)  # type: ignore[misc]
        connection.close()
        assert eventually(lambda text=f"left {number}": _running(client, text) == 0)  # type: ignore[misc]
    assert client.query("SELECT 1").first_row == (1,)


def test_a_query_ends_when_its_client_leaves_in_mid_answer(
    clickhouse: EmbeddedClickHouse, client: Client
) -> None:
    for number in range(6):
        sql = f"SELECT number, repeat('x', 1000) FROM numbers(1000000000) /* mid {number} */"  # noqa: S608
        connection = _send_query(clickhouse, sql)
        assert len(connection.recv(100_000)) > 0
        assert _running(client, f"mid {number}") == 1
        connection.close()
        assert eventually(lambda text=f"mid {number}": _running(client, text) == 0)  # type: ignore[misc]
    assert client.query("SELECT 1").first_row == (1,)


def test_a_client_that_reads_slowly_is_waited_for_in_bounded_memory(
    clickhouse: EmbeddedClickHouse, client: Client
) -> None:
    process = psutil.Process(clickhouse.process.pid)
    before = process.memory_info().rss
    with _send_query(clickhouse, "SELECT repeat('x', 1000) FROM numbers(1000000000)") as slow:
        slow.recv(1000)
        # Reads nothing more; the others are served meanwhile.
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert client.query("SELECT 1").first_row == (1,)
        assert process.memory_info().rss - before < 200 * 1024**2


def test_a_client_that_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    server = EmbeddedClickHouse(
        tmp_path, {"WEIR_CLICKHOUSE_SEND_TIMEOUT": "0.5", "WEIR_CLICKHOUSE_CONNECTIONS": "1"}
    )
    server.start()
    try:
        with _send_query(server, "SELECT repeat('x', 1000) FROM numbers(1000000000)") as stuck:
            stuck.recv(1000)
            # The only connection of the engine is free again.
            assert curl(server, body="SELECT 1").text == "1\n"
    finally:
        assert server.stop() == 0


def test_max_execution_time_ends_a_query(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, body=_LONG, max_execution_time=1)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (408, "159")


def test_kill_query_ends_it_for_its_client(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    with _send_query(clickhouse, f"{_LONG} /* killed */") as connection:
        assert eventually(lambda: _running(client, "killed") == 1)
        client.command("KILL QUERY WHERE query LIKE '%/* killed */' AND query NOT LIKE 'KILL%'")
        answer = b""
        while b"Code: 394." not in answer and (piece := connection.recv(100_000)):
            answer += piece
        assert b"Code: 394." in answer


def test_the_same_query_id_runs_once(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    async def both() -> list[int]:
        async with asyncio.timeout(20):
            first = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "--max-time", "60"),
                *(f"{clickhouse.url}/?query_id=same", "-d", _LONG),
            )
            assert await asyncio.to_thread(eventually, lambda: _running(client, "40000000000") == 1)
            second = await asyncio.to_thread(curl, clickhouse, body="SELECT 1", query_id="same")
            first.terminate()
            await first.wait()
            return [int(second.headers["x-clickhouse-exception-code"])]

    assert asyncio.run(both()) == [216]
    assert eventually(lambda: curl(clickhouse, body="SELECT 1", query_id="same").status == 200)
