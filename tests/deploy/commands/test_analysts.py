"""`weir analysts`: what it lets analysts read, and how it says that a server has no users."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.analysts import COLUMNS, Analyst, InvalidName, Tables, granting, is_personal, revoking
from tests.weir import Weir

TABLES: Tables = {
    "events": ("event_id", "path", "user_id", "visitor_id", "metadata"),
    "quota_decisions": ("user_id", "plan", "reason"),
    "dead_letters": ("topic", "reason", "detail", "payload"),
    "known_ids": ("id",),
}


def statements(*, personal: bool) -> list[str]:
    return [*granting(Analyst("ada", "a-password"), "weir", TABLES, personal=personal)]


def test_without_personal_columns_these_are_not_granted() -> None:
    assert statements(personal=False)[1:] == [
        "GRANT SELECT(`event_id`, `path`) ON `weir`.`events` TO ada",
        "GRANT SELECT(`plan`) ON `weir`.`quota_decisions` TO ada",
        "GRANT SELECT(`topic`, `reason`) ON `weir`.`dead_letters` TO ada",
    ]


def test_with_them_whole_tables_are_but_for_those_of_the_sink() -> None:
    assert statements(personal=True)[1:] == [
        "GRANT SELECT ON `weir`.`events` TO ada",
        "GRANT SELECT ON `weir`.`quota_decisions` TO ada",
        "GRANT SELECT ON `weir`.`dead_letters` TO ada",
    ]


def test_no_statement_holds_the_password_and_no_limit_can_be_lifted() -> None:
    create = statements(personal=False)[0]
    assert all("a-password" not in each for each in statements(personal=True))
    assert "readonly = 2" in create
    for setting in (
        "max_result_rows",
        "max_execution_time",
        "max_memory_usage",
        "max_concurrent_queries_for_user",
    ):
        # 0 is no limit, so a largest value alone would be none either.
        assert f"{setting} = " in create
        assert f"{setting} = 0" not in create
    assert create.count("MIN 1 MAX") == 4


@pytest.mark.parametrize("name", ["", "Ada", "a b", "a'; DROP", "default", "a" * 64, "1a", "a`b"])
def test_a_name_that_would_need_quotation_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        Analyst.named(name)
    with pytest.raises(InvalidName):
        revoking(name)


def weir_analysts(weir: Weir, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, **weir.environment}
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", "analysts", *arguments],
        env=environment,
        cwd=weir.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tables_of(weir: Weir) -> Tables:
    return dict(weir.query(COLUMNS, database=weir.clickhouse.database))


@pytest.mark.services
async def test_clickhouse_understands_what_is_written(weir: Weir) -> None:
    done = weir_analysts(weir, "grant", "ada", "--sql")
    assert done.returncode == 0, done.stderr
    [*written, last] = done.stdout.split(";\n")
    assert last == ""
    assert len(written) > 8
    assert "shown this once: " in done.stderr
    password = done.stderr.split("shown this once: ")[1].strip()
    assert password not in done.stdout
    for statement in [*written, "DROP USER ada"]:
        assert weir.query(f"EXPLAIN AST {statement}")
    named = re.findall(r"([a-z_]+) = ", written[0])
    assert len(named) == 7
    known = weir.query(
        "SELECT name FROM system.settings WHERE has({names:Array(String)}, name)", names=named
    )
    assert {name for (name,) in known} == {*named}


@pytest.mark.services
async def test_no_column_of_a_table_that_holds_people_is_granted(weir: Weir) -> None:
    """By what is in them: each is of a name that the list of personal columns has."""
    tables = tables_of(weir)
    assert {"events", "event_counts", "generation_costs_daily"} <= tables.keys()
    assert not any(name.endswith("_from_events") for name in tables)
    granted = {
        (table, column)
        for table, columns in tables.items()
        for column in columns
        if not is_personal(table, column)
    }
    telling = {
        "variants.caption",
        "user",
        "visitor_id",
        "customer",
        "prompt",
        "payload",
        "header",
        "detail",
    }
    assert [each for each in granted if any(word in each[1] for word in telling)] == []


@pytest.mark.services
async def test_a_user_reads_within_limits_or_is_told_that_there_are_none(weir: Weir) -> None:
    name = f"ada_{weir.name[-8:]}"
    done = weir_analysts(weir, "grant", name)
    if done.returncode:
        # The embedded one; `make test-docker` goes on.
        assert "lets nobody make users here" in done.stderr
        assert "Traceback" not in done.stderr
        return
    login = weir.clickhouse.clickhouse_arguments()
    login |= {"username": name, "password": done.stdout.strip()}
    try:
        with get_client(**login, database=weir.clickhouse.database) as client:
            assert client.query("SELECT count() FROM events").result_rows == [(0,)]
            for refused in (
                "SELECT user_id FROM events",
                "SELECT * FROM events",
                "INSERT INTO events (path) VALUES ('/')",
                "SELECT count() FROM known_ids",
                "SELECT 1 SETTINGS max_execution_time = 0",
                "SELECT 1 SETTINGS max_result_rows = 2000000",
                "SELECT number FROM numbers(1000001)",
            ):
                with pytest.raises(DatabaseError):
                    client.query(refused)
    finally:
        assert weir_analysts(weir, "revoke", name).returncode == 0
