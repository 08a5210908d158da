"""clickhouse-connect, synchronous and asynchronous, as against a server."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import clickhouse_connect
import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services

_COMPRESSIONS = ["", "lz4", "zstd", "gzip", "deflate"]
_ROW = (1, "a", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), 1.5, [1, 2], None)


@pytest_asyncio.fixture
async def async_client(clickhouse: EmbeddedClickHouse, database: str) -> AsyncIterator[AsyncClient]:
    client = await clickhouse_connect.get_async_client(
        host="127.0.0.1", port=clickhouse.port, database=database, autogenerate_session_id=False
    )
    try:
        yield client
    finally:
        await client.close()


def _create(name: str = "t") -> str:
    return (
        f"CREATE TABLE {name} (id UInt64, s String, at DateTime('UTC'), f Float64, "
        "l Array(UInt8), n Nullable(String)) ENGINE = MergeTree ORDER BY id"
    )


@pytest.mark.parametrize("compress", _COMPRESSIONS)
def test_rows_survive_the_way_in_and_out(
    clickhouse: EmbeddedClickHouse, client: Client, compress: str
) -> None:
    client.command(_create())
    own = clickhouse.client(database=client.database, compress=compress or False)
    if compress == "deflate":  # which it can only read
        own.write_compression = None
    rows = [(number, *_ROW[1:]) for number in range(30_000)]
    summary = own.insert("t", rows, column_names=["id", "s", "at", "f", "l", "n"])
    assert summary.written_rows == 30_000
    answer = own.query("SELECT * FROM t ORDER BY id", tz_mode="aware")
    assert answer.column_names == ("id", "s", "at", "f", "l", "n")
    assert answer.result_rows == rows
    assert answer.summary["read_rows"] == "30000"
    own.close()


@pytest.mark.parametrize("compression", [None, "lz4", "zstd", "gzip"])
def test_raw_inserts(client: Client, compression: str | None) -> None:
    import gzip

    import lz4.frame  # type: ignore[import-untyped]
    from backports import zstd

    client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    rows = b'[1,"x"],\n[2,"y"]'
    if compression:
        compress = {"lz4": lz4.frame.compress, "zstd": zstd.compress, "gzip": gzip.compress}
        rows = compress[compression](rows)
    client.raw_insert("t", ["a", "b"], rows, fmt="JSONCompactEachRow", compression=compression)
    assert client.query("SELECT * FROM t ORDER BY a").result_rows == [(1, "x"), (2, "y")]


def test_commands(client: Client) -> None:
    assert client.command("SELECT 1 + 1") == 2
    assert client.command("SHOW TABLES") == ""
    created = client.command(_create())
    assert not isinstance(created, (str, int))
    assert client.command("EXISTS TABLE t") == 1
    client.command("INSERT INTO t (id) VALUES", data="(1), (2)")
    assert client.command("SELECT count() FROM t") == 2
    client.command("ALTER TABLE t DELETE WHERE id = 1", settings={"mutations_sync": 1})
    assert client.command("SELECT count() FROM t") == 1


@pytest.mark.parametrize("length", [10, 100_000])
def test_bound_parameters_short_and_long(client: Client, length: int) -> None:
    # clickhouse-connect sends long ones as a multipart form.
    text = "'\\\n\té" * (length // 5)
    answer = client.query(
        "SELECT {s:String} AS s, {a:Array(UInt64)} AS a", parameters={"s": text, "a": [1, 2]}
    )
    assert answer.result_rows == [(text, [1, 2])]


def test_form_encoded_parameters(clickhouse: EmbeddedClickHouse) -> None:
    client = clickhouse.client(form_encode_query_params=True)
    answer = client.query("SELECT {s:String}", parameters={"s": "it's"})
    assert answer.result_rows == [("it's",)]
    client.close()


def test_external_data(client: Client) -> None:
    data = ExternalData(
        file_name="people.csv",
        data=b'1,"Ann"\n2,"Bob, jr"\n',
        fmt="CSV",
        structure=["id UInt64", "name String"],
    )
    answer = client.query("SELECT * FROM people ORDER BY id", external_data=data)
    assert answer.result_rows == [(1, "Ann"), (2, "Bob, jr")]


def test_metadata_without_rows(client: Client) -> None:
    client.command(_create())
    assert client.query("SELECT id, s FROM t LIMIT 0").column_names == ("id", "s")
    assert client.query("SELECT id, s FROM t").result_rows == []


def test_streams(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
        assert sum(len(block) for block in stream) == 1_000_000


def test_default_session_and_its_errors(clickhouse: EmbeddedClickHouse) -> None:
    client = clickhouse.client(autogenerate_session_id=True)
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as raised:
        client.query("SELECT * FROM nowhere")
    assert raised.value.code == 60
    assert client.query("SELECT 1").first_row == (1,)
    assert client.ping()
    client.close()


def test_settings_of_a_client_and_of_a_query(clickhouse: EmbeddedClickHouse) -> None:
    client = clickhouse.client(settings={"max_threads": 3})
    sql = "SELECT getSetting('max_threads'), getSetting('max_block_size')"
    assert client.query(sql, settings={"max_block_size": 17}).first_row == (3, 17)
    assert client.query(sql).first_row == (3, 65409)
    client.close()


async def test_async_inserts_and_queries(async_client: AsyncClient) -> None:
    await async_client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    await async_client.insert("t", [[1, "x"]], column_names=["a", "b"])
    await async_client.raw_insert("t", ["a", "b"], b'[2,"y"]', fmt="JSONCompactEachRow")
    answer = await async_client.query("SELECT * FROM t WHERE a >= {a:UInt64} ORDER BY a", {"a": 1})
    assert answer.result_rows == [(1, "x"), (2, "y")]
    long = "x" * 100_000
    assert (await async_client.query("SELECT {s:String}", {"s": long})).first_row == (long,)


async def test_async_queries_run_side_by_side(async_client: AsyncClient) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    answers = await asyncio.gather(
        *(async_client.query("SELECT sleep(0.5), {n:UInt8}", {"n": n}) for n in range(4))
    )
    assert [answer.first_row for answer in answers] == [(0, n) for n in range(4)]
    assert loop.time() - started < 1.5


async def test_async_streams(async_client: AsyncClient) -> None:
    rows = 0
    async with await async_client.query_row_block_stream(
        "SELECT number, toString(number) FROM numbers(500000)"
    ) as stream:
        async for block in stream:
            rows += len(block)
    assert rows == 500_000


async def test_an_async_task_that_is_cancelled_ends_its_query(
    async_client: AsyncClient, client: Client
) -> None:
    sql = "SELECT sum(sipHash64(number)) FROM numbers(40000000000) /* cancelled task */"
    count = (
        "SELECT count() FROM system.processes WHERE query LIKE '%/* cancelled task */%' "
        "AND query NOT LIKE '%system.processes%'"
    )

    async def becomes(number: int) -> bool:
        return await asyncio.to_thread(eventually, lambda: client.command(count) == number)

    task = asyncio.create_task(async_client.query(sql))
    assert await becomes(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await becomes(0)
