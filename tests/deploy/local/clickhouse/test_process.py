"""The process: its settings, its folder, its signals, its log."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services


def _run(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.clickhouse"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_bad_settings_are_all_named_at_once() -> None:
    done = _run(
        {
            "WEIR_CLICKHOUSE_PORT": "70000",
            "WEIR_CLICKHOUSE_MAX_MEMORY": "much",
            "WEIR_CLICKHOUSE_CONNECTIONS": "0",
            "WEIR_DATA_DIR": "what?",
        }
    )
    assert done.returncode == 78
    for name in ("CLICKHOUSE_PORT", "CLICKHOUSE_MAX_MEMORY", "CLICKHOUSE_CONNECTIONS", "DATA_DIR"):
        assert f"WEIR_{name}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_process_on_the_folder_says_who_has_it(
    own_clickhouse: EmbeddedClickHouse,
) -> None:
    own_clickhouse.start()
    done = _run({"WEIR_DATA_DIR": str(own_clickhouse.data_dir), "WEIR_CLICKHOUSE_PORT": "1"})
    assert done.returncode == 1
    assert f"in use by the process {own_clickhouse.process.pid}" in done.stderr
    assert "WEIR_DATA_DIR" in done.stderr
    assert curl(own_clickhouse, body="SELECT 1").text == "1\n"


def test_a_port_in_use_is_said_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = _run({"WEIR_DATA_DIR": str(tmp_path), "WEIR_CLICKHOUSE_PORT": str(port)})
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "WEIR_CLICKHOUSE_PORT" in done.stderr


def test_it_listens_on_loopback_only(clickhouse: EmbeddedClickHouse) -> None:
    listening = [
        connection.laddr
        for connection in psutil.Process(clickhouse.process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", clickhouse.port)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_queries_finish(
    own_clickhouse: EmbeddedClickHouse, number: signal.Signals
) -> None:
    own_clickhouse.start()
    client = own_clickhouse.client()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(curl, own_clickhouse, body="SELECT sleep(1.5), 'finished'")
        assert eventually(lambda: _sleeping(own_clickhouse))
        own_clickhouse.process.send_signal(number)
        assert running.result().text == "0\tfinished\n"
    assert own_clickhouse.wait() == 0
    client.close()


def test_sigterm_cancels_what_does_not_finish(own_clickhouse: EmbeddedClickHouse) -> None:
    own_clickhouse.start()
    sql = b"SELECT repeat('x', 1000) FROM numbers(100000000)"
    with (
        socket.create_connection(("127.0.0.1", own_clickhouse.port)) as streaming,
        ThreadPoolExecutor(2) as pool,
    ):
        streaming.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(sql), sql)
        )
        endless = pool.submit(
            curl, own_clickhouse, body="SELECT sum(sipHash64(number)) FROM numbers(400000000000)"
        )
        writing = pool.submit(
            curl,
            own_clickhouse,
            body="INSERT INTO FUNCTION null('a UInt64') "
            "SELECT sipHash64(number) FROM numbers(400000000000)",
        )
        assert eventually(lambda: _running(own_clickhouse) >= 3)
        started = time.monotonic()
        own_clickhouse.terminate()
        assert own_clickhouse.wait() == 0
        assert time.monotonic() - started < 4.5
        assert endless.result().status != 200
        assert writing.result().status != 200
        end = b""
        while piece := streaming.recv(1024**2):
            end = (end + piece)[-5:]
        assert end != b"0\r\n\r\n"


def test_sigterm_does_not_wait_for_idle_connections(own_clickhouse: EmbeddedClickHouse) -> None:
    own_clickhouse.start()
    with socket.create_connection(("127.0.0.1", own_clickhouse.port)) as idle:
        idle.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(1000)
        started = time.monotonic()
        own_clickhouse.terminate()
        assert own_clickhouse.wait() == 0
    assert time.monotonic() - started < 2


def test_tables_are_there_after_a_restart(own_clickhouse: EmbeddedClickHouse) -> None:
    own_clickhouse.start()
    curl(own_clickhouse, body="CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    curl(own_clickhouse, body="CREATE DATABASE other")
    curl(own_clickhouse, body="CREATE TABLE other.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    for table in ("t", "other.t"):
        curl(own_clickhouse, body=f"INSERT INTO {table} SELECT number FROM numbers(1000)")  # noqa: S608
    assert own_clickhouse.stop() == 0
    own_clickhouse.start()
    for table in ("t", "other.t"):
        assert curl(own_clickhouse, body=f"SELECT sum(a) FROM {table}").text == "499500\n"  # noqa: S608


def test_times_are_utc_whatever_the_machine_says_and_the_folder_is_called(tmp_path: Path) -> None:
    server = EmbeddedClickHouse(tmp_path / "with spaces & umläuts", {"TZ": "America/New_York"})
    server.start()
    try:
        answer = curl(server, body="SELECT timezone(), toDateTime(0)")
        assert answer.text == "UTC\t1970-01-01 00:00:00\n"
        assert answer.headers["x-clickhouse-timezone"] == "UTC"
    finally:
        server.stop()


def test_its_start_creates_no_tables(own_clickhouse: EmbeddedClickHouse) -> None:
    own_clickhouse.start()
    answer = curl(
        own_clickhouse,
        body="SELECT count() FROM system.tables "
        "WHERE lower(database) NOT IN ('system', 'information_schema')",
    )
    assert answer.text == "0\n"


def test_the_log_is_json_and_holds_no_query(own_clickhouse: EmbeddedClickHouse) -> None:
    own_clickhouse.start()
    curl(own_clickhouse, body="SELECT 'jane@example.org'")
    curl(own_clickhouse, body="SELECT 'jane@example.org' FROM nowhere")
    curl(own_clickhouse, body="INSERT INTO t VALUES ('jane@example.org')")
    late = "SELECT number, 'jane@example.org', throwIf(number = 3000000) FROM numbers(9000000)"
    curl(own_clickhouse, body=late)
    assert own_clickhouse.stop() == 0
    assert eventually(lambda: any("stopped" in line for line in own_clickhouse.output))
    events = [json.loads(line)["event"] for line in own_clickhouse.output]
    assert events == ["ready", "stopping", "stopped"]


def _running(server: EmbeddedClickHouse) -> int:
    answer = curl(
        server,
        body="SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'",
    )
    return int(answer.text)


def _sleeping(server: EmbeddedClickHouse) -> bool:
    return _running(server) == 1
