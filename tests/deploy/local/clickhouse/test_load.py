"""Many at once: nobody is held by somebody else's query, and the queue has an end."""

import concurrent.futures
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.local.clickhouse.curl import CurlAnswer, curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services

_LONG = "SELECT sum(sipHash64(number)) FROM numbers(40000000000)"


@pytest.fixture(scope="module")
def small_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """Two connections, two places behind them, one second of patience."""
    server = EmbeddedClickHouse(
        tmp_path_factory.mktemp("small"),
        {
            "WEIR_CLICKHOUSE_CONNECTIONS": "2",
            "WEIR_CLICKHOUSE_MAX_WAITING": "2",
            "WEIR_CLICKHOUSE_WAIT_TIMEOUT": "1",
        },
    )
    server.start()
    try:
        yield server
    finally:
        assert server.stop() == 0


def _busy(server: EmbeddedClickHouse, seconds: float) -> CurlAnswer:
    return curl(server, body=_LONG, max_execution_time=f"{seconds:g}")


def test_others_are_answered_while_a_long_query_runs(clickhouse: EmbeddedClickHouse) -> None:
    client = clickhouse.client()
    client.query("SELECT 1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(_busy, clickhouse, 2)
        latencies = []
        while not long.done():
            started = time.perf_counter()
            assert client.query("SELECT count() FROM numbers(1000)").result_rows == [(1000,)]
            latencies.append(time.perf_counter() - started)
        assert long.result().headers["x-clickhouse-exception-code"] == "159"
    client.close()
    assert len(latencies) > 50
    assert statistics.median(latencies) < 0.05


def test_health_is_answered_while_all_connections_are_busy(
    small_clickhouse: EmbeddedClickHouse,
) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        long = [pool.submit(_busy, small_clickhouse, 0.8) for _ in range(2)]
        while not all(query.done() for query in long):
            started = time.perf_counter()
            assert curl(small_clickhouse, path="/ping").text == "Ok.\n"
            assert time.perf_counter() - started < 0.5


def test_a_request_waits_for_a_free_connection(small_clickhouse: EmbeddedClickHouse) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        long = [pool.submit(_busy, small_clickhouse, 0.5) for _ in range(2)]
        waiting = [pool.submit(curl, small_clickhouse, body="SELECT 7") for _ in range(2)]
        assert [query.result().text for query in waiting] == ["7\n", "7\n"]
        assert [query.result().status for query in long] == [408, 408]


def test_a_full_queue_and_a_long_wait_are_refused_with_code_202(
    small_clickhouse: EmbeddedClickHouse,
) -> None:
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = [
            query.result() for query in [pool.submit(_busy, small_clickhouse, 3) for _ in range(12)]
        ]
    refused = [a for a in answers if a.headers["x-clickhouse-exception-code"] == "202"]
    assert len(refused) == 10
    assert {answer.status for answer in refused} == {503}
    assert all("(TOO_MANY_SIMULTANEOUS_QUERIES)" in answer.text for answer in refused)
    assert sum("queue is full" in answer.text for answer in refused) == 8
    assert sum("none became free within 1 s" in answer.text for answer in refused) == 2
    assert curl(small_clickhouse, body="SELECT 1").text == "1\n"


def test_clients_that_leave_the_queue_give_their_places_back(
    small_clickhouse: EmbeddedClickHouse,
) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        long = [pool.submit(_busy, small_clickhouse, 2) for _ in range(2)]
        for _ in range(3):
            gone = [
                pool.submit(curl, small_clickhouse, "--max-time", "0.2", body="SELECT 1")
                for _ in range(2)
            ]
            assert {query.result().exit_code for query in gone} <= {28, 0}
        assert {query.result().status for query in long} == {408}
    assert curl(small_clickhouse, body="SELECT 1").text == "1\n"


def test_memory_beyond_the_limit_is_an_error_and_the_process_lives(
    clickhouse: EmbeddedClickHouse,
) -> None:
    hungry = "SELECT length(groupArray(repeat('x', 1000))) FROM numbers(5000000)"
    for _ in range(3):
        answer = curl(clickhouse, body=hungry)
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (500, "241")
        assert "(MEMORY_LIMIT_EXCEEDED)" in answer.text
        assert curl(clickhouse, body="SELECT 1").text == "1\n"
    # A result that must be taken in whole is within the same limit.
    whole = curl(
        clickhouse, body="SELECT number, repeat('x', 1000) FROM numbers(5000000) FORMAT JSON"
    )
    assert whole.headers["x-clickhouse-exception-code"] == "241"


def test_an_insert_costs_little_more_than_the_engine_alone(
    clickhouse: EmbeddedClickHouse, tmp_path: Path
) -> None:
    client = clickhouse.client()
    client.command("CREATE DATABASE IF NOT EXISTS speed")
    client.command("CREATE OR REPLACE TABLE speed.t (a UInt64, b String) ENGINE = Null")
    rows = b",\n".join(b'[%d,"%s"]' % (n, b"x" * 180) for n in range(20_000))
    taken = []
    for _ in range(15):
        started = time.perf_counter()
        client.raw_insert("speed.t", ["a", "b"], rows, fmt="JSONCompactEachRow")
        taken.append(time.perf_counter() - started)
    client.command("DROP DATABASE speed")
    client.close()
    # The engine alone takes 10 ms for these; the bound leaves room for a busy machine.
    assert statistics.median(taken) < 0.1


def test_trivial_queries_take_milliseconds(clickhouse: EmbeddedClickHouse) -> None:
    client = clickhouse.client()
    taken = []
    for _ in range(100):
        started = time.perf_counter()
        client.query("SELECT 1")
        taken.append(time.perf_counter() - started)
    client.close()
    assert statistics.median(taken) < 0.02


def test_ten_thousand_requests_leave_no_memory_behind(clickhouse: EmbeddedClickHouse) -> None:
    import psutil

    process = psutil.Process(clickhouse.process.pid)
    client = clickhouse.client()

    def ask(times: int) -> None:
        for _ in range(times):
            client.query("SELECT 1", settings={"max_threads": 1})

    ask(500)
    before = process.memory_info().rss
    ask(2500)
    assert eventually(lambda: process.memory_info().rss - before < 40 * 1024**2)
    client.close()
