"""What one request sets is gone with it."""

import concurrent.futures

import pytest
from clickhouse_connect.driver.client import Client

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse

pytestmark = pytest.mark.services

# More requests than connections, so that each connection would be met again.
_ROUNDS = 12


def test_settings_hold_for_one_request(clickhouse: EmbeddedClickHouse) -> None:
    sql = "SELECT getSetting('max_block_size'), getSetting('extremes')"
    default = curl(clickhouse, body=sql).text
    for _ in range(_ROUNDS):
        changed = curl(clickhouse, body=sql, max_block_size=123, extremes=1).text
        assert changed.startswith("123\ttrue\n")
        assert curl(clickhouse, body=sql).text == default


def test_a_failed_request_leaves_no_setting_behind(clickhouse: EmbeddedClickHouse) -> None:
    sql = "SELECT getSetting('max_threads')"
    default = curl(clickhouse, body=sql).text
    for _ in range(_ROUNDS):
        assert curl(clickhouse, body="SELECT throwIf(1)", max_threads=77).status == 500
        assert curl(clickhouse, body=sql).text == default


def test_set_and_use_statements_end_with_their_request(clickhouse: EmbeddedClickHouse) -> None:
    sql = "SELECT getSetting('max_threads'), currentDatabase()"
    default = curl(clickhouse, body=sql).text
    for _ in range(_ROUNDS):
        assert curl(clickhouse, body="SET max_threads = 77").status == 200
        assert curl(clickhouse, body="USE system").status == 200
        assert curl(clickhouse, body=sql).text == default


def test_parameters_and_readonly_hold_for_one_request(clickhouse: EmbeddedClickHouse) -> None:
    for _ in range(_ROUNDS):
        assert curl(clickhouse, body="SELECT {x:UInt8}", param_x=1, readonly=1).text == "1\n"
        answer = curl(clickhouse, body="SELECT {x:UInt8}")
        assert answer.headers["x-clickhouse-exception-code"] == "456"
        assert curl(clickhouse, body="SELECT getSetting('readonly')").text == "0\n"


def test_database_is_the_requests_own(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    database = client.database or ""
    client.command("CREATE TABLE here (a UInt8) ENGINE = MergeTree ORDER BY a")

    def ask(number: int) -> str:
        name = (database, "system", "default")[number % 3]
        by_header = ("-H", f"X-ClickHouse-Database: {name}") if number % 2 else ()
        parameters: dict[str, str | int] = {} if number % 2 else {"database": name}
        return curl(
            clickhouse, *by_header, body="SELECT currentDatabase()", parameters=parameters
        ).text

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(36)))
    assert answers == [f"{(database, 'system', 'default')[n % 3]}\n" for n in range(36)]
    assert curl(clickhouse, body="INSERT INTO here VALUES (1)", database=database).status == 200
    assert curl(clickhouse, body="SELECT * FROM here", database=database).text == "1\n"
    missing = curl(clickhouse, body="SELECT * FROM here", database="default")
    assert missing.headers["x-clickhouse-exception-code"] == "60"


def test_database_that_does_not_exist(clickhouse: EmbeddedClickHouse) -> None:
    for _ in range(_ROUNDS):
        answer = curl(clickhouse, body="SELECT 1", database="nowhere")
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (404, "81")
        assert curl(clickhouse, body="SELECT 1").text == "1\n"


def test_every_request_begins_with_the_settings_of_the_local_engine(
    clickhouse: EmbeddedClickHouse,
) -> None:
    sql = (
        "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)} ORDER BY name"
    )
    expected = {
        "allow_introspection_functions": "0",
        "implicit_select": "0",
        "max_threads_min_free_memory_per_thread": "0",
    }
    with clickhouse.client() as client:
        rows = client.query(sql, parameters={"names": list(expected)}).result_rows
    assert {str(name): value for name, value in rows} == expected
