"""A database of the version before: its events are in the rollups after migrating, once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Thread
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from deploy.migrate import SCHEMA_MIGRATIONS, apply_migrations
from schemas.migrations import load_migrations
from schemas.servers import ClickHouseSettings
from tests.services import Services

pytestmark = pytest.mark.services

BEFORE = 4
"""The last migration of the version before."""
ROLLUPS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER_HOUR = 900
UNITS = [3_600, 14_400, 86_400, 4 * 86_400, 16 * 86_400, 64 * 86_400]
DIMENSIONS = [
    *("path", "referrer", "country", "device", "browser", "os", "status", "method", "route"),
    "source",
]
NEW = ["bot", "device", "browser", "os", "referrer", "country", "status", "method", "route"]
"""The columns of `events` that the version before has not."""

# Rows of ClickHouse have values of any type.
Row = dict[str, Any]
Key = tuple[str, int, str, bool, str, int]
"""Dimension, unit (s), event type, bot, value, time (epoch s)."""


@pytest.fixture
def settings(services: Services) -> Iterator[ClickHouseSettings]:
    """A database of the version before, as its migrator left it; gone at the end."""
    chosen = ClickHouseSettings(url=f"{services.clickhouse_url}/test_{uuid4().hex[:12]}")
    with get_client(**chosen.clickhouse_arguments()) as server:
        server.command(f"CREATE DATABASE {chosen.database}")
        try:
            with connected(chosen) as client:
                client.command(SCHEMA_MIGRATIONS)
                for migration in load_migrations()[:BEFORE]:
                    for statement in migration.statements:
                        client.command(statement)
                    client.insert(
                        "schema_migrations",
                        [[migration.version, migration.name, migration.sha256]],
                        column_names=["version", "name", "sha256"],
                    )
            yield chosen
        finally:
            server.command(f"DROP DATABASE {chosen.database}")


def connected(settings: ClickHouseSettings) -> Client:
    return get_client(**settings.clickhouse_arguments(), database=settings.database)


def made(number: int, *, new: bool) -> Row:
    """A row of `events`, with the new columns or without; some are late by decades."""
    random = Random(number)
    edge = EPOCH + timedelta(days=random.choice([64 * 319, 64 * 319 + 8, 20_000, 10_000, 0]))
    moment = edge + timedelta(milliseconds=random.choice([0, 0, 1, 900_000, 86_399_999, 10**9]))
    row: Row = {
        "event_id": UUID(int=random.getrandbits(128), version=4),
        "event_type": random.choice(["page_view", "page_view", "conversion"]),
        "path": random.choice(["/", "/a", "/é\n"]),
        "user_id": random.choice(["", "same", "u-1", "u-2"]),
        "visitor_id": random.choice(["", "same", "v-1", "v-2", "v-3"]),
        "source": random.choice(["", "web"]),
        "occurred_at": moment,
        "received_at": datetime(2025, 11, 1 + number % 28, tzinfo=UTC),
        "metadata": "{}",
        "topic": "page-views",
        "partition": 0,
        "incarnation": 1,
        "offset": number,
    }
    if new:
        row |= {name: random.choice(["", f"{name}-1"]) for name in NEW}
        row["bot"] = random.random() < 0.3
    return row


def insert(client: Client, rows: list[Row]) -> None:
    names = list(rows[0])
    # Late events of decades in one block make a part for each year of the rollup.
    client.insert(
        "events",
        [[row[name] for name in names] for row in rows],
        column_names=names,
        settings={"max_partitions_per_insert_block": 0},
    )


def counted(rows: list[Row]) -> tuple[Counter[Key], dict[Key, set[str]]]:
    """What the rollup must hold: counts and visitors by key, of rows as they were inserted."""
    counts: Counter[Key] = Counter()
    visitors: dict[Key, set[str]] = {}
    for row in rows:
        seconds = (row["occurred_at"] - EPOCH) // timedelta(seconds=1)
        for dimension in ("", *DIMENSIONS):
            # Quarters of an hour are of all events together only.
            for unit in UNITS if dimension else [QUARTER_HOUR, *UNITS]:
                key = (
                    dimension,
                    unit,
                    row["event_type"],
                    row.get("bot", False),
                    row.get(dimension, ""),
                    seconds // unit * unit,
                )
                counts[key] += 1
                visitors.setdefault(key, set()).update({row["visitor_id"] or row["user_id"]} - {""})
    return counts, visitors


def assert_rolled_up(client: Client, rows: list[Row]) -> None:
    counts, visitors = counted(rows)
    result = client.query(
        "SELECT dimension, unit, event_type, bot, value, toUnixTimestamp(time), sum(count),"
        " if(dimension = '', uniqCombinedMerge(16)(all_visitors), uniqCombinedMerge(12)(visitors)),"
        " min(span), max(span)"
        " FROM event_counts GROUP BY dimension, unit, event_type, bot, value, time"
    ).result_rows
    assert {row[:6]: row[6] for row in result} == counts
    assert {row[:6]: row[7] for row in result} == {key: len(seen) for key, seen in visitors.items()}
    for row in result:
        assert row[8] == row[9] == row[5] // (row[1] * 8)


def apply(settings: ClickHouseSettings) -> list[str]:
    said: list[str] = []
    apply_migrations(settings, said.append)
    return said


def forget(client: Client, version: int) -> None:
    """What a migrator leaves that is killed right before it notes the migration."""
    client.command(
        "ALTER TABLE schema_migrations DELETE WHERE version = {version:UInt32}",
        parameters={"version": version},
        settings={"mutations_sync": 1},
    )


def check(settings: ClickHouseSettings) -> None:
    old = [made(number, new=False) for number in range(400)]
    with connected(settings) as client:
        insert(client, old)
        assert f"applied migration {ROLLUPS:04} visits_and_rollups" in apply(settings)
        assert_rolled_up(client, old)

        new = [made(number, new=True) for number in range(400, 700)]
        insert(client, new)
        assert_rolled_up(client, old + new)

        forget(client, ROLLUPS)
        assert apply(settings) == [f"applied migration {ROLLUPS:04} visits_and_rollups"]
        assert_rolled_up(client, old + new)
        # The view is there again, and once.
        newest = [made(number, new=True) for number in range(700, 900)]
        insert(client, newest)
        assert_rolled_up(client, old + new + newest)


async def test_events_of_the_version_before_are_rolled_up_once(
    settings: ClickHouseSettings,
) -> None:
    await asyncio.to_thread(check, settings)


def killed_after(settings: ClickHouseSettings, count: int) -> None:
    """Applies only so many statements of the migration, as a kill leaves them."""
    migration = load_migrations()[ROLLUPS - 1]
    with connected(settings) as client:
        for statement in migration.statements[:count]:
            client.command(statement)


STATEMENTS = 8


async def test_each_statement_can_be_the_last_before_a_kill() -> None:
    assert len(load_migrations()[ROLLUPS - 1].statements) == STATEMENTS


@pytest.mark.parametrize("count", range(1, STATEMENTS + 1))
async def test_a_kill_after_any_statement_leaves_what_the_next_run_completes(
    settings: ClickHouseSettings, count: int
) -> None:
    def check_after_kill() -> None:
        rows = [made(number, new=False) for number in range(100)]
        with connected(settings) as client:
            insert(client, rows)
            killed_after(settings, count)
            apply(settings)
            assert_rolled_up(client, rows)
            later = [made(number, new=True) for number in range(100, 150)]
            insert(client, later)
            assert_rolled_up(client, rows + later)

    await asyncio.to_thread(check_after_kill)


async def test_what_a_killed_migrator_began_does_not_count_besides(
    settings: ClickHouseSettings,
) -> None:
    """The server goes on with an INSERT whose client is gone."""
    count = 200_000
    [backfill] = [
        statement
        for statement in load_migrations()[ROLLUPS - 1].statements
        if statement.startswith("INSERT")
    ]

    def run_begun_backfill() -> None:
        # Into a table that is dropped by now, it may also fail.
        with connected(settings) as client, suppress(ClickHouseError):
            client.command(backfill)

    def check_while_it_runs() -> None:
        with connected(settings) as client:
            client.command(
                "INSERT INTO events (event_type, path, occurred_at, received_at)"
                " SELECT 'page_view', toString(rand() % 100),"
                " toDateTime64('2025-01-01', 3, 'UTC') + rand(1) % 25920000, now()"
                " FROM numbers({count:UInt32})",
                parameters={"count": count},
            )
            killed_after(settings, STATEMENTS - 2)
            begun = Thread(target=run_begun_backfill)
            begun.start()
            deadline = monotonic() + 60
            while not running(client):
                assert monotonic() < deadline
            apply(settings)
            begun.join(60)
            counts = client.query(
                "SELECT unit, sum(count) FROM event_counts WHERE dimension = '' GROUP BY unit"
            ).result_rows
            assert {row[0]: row[1] for row in counts} == dict.fromkeys(
                [QUARTER_HOUR, *UNITS], count
            )

    await asyncio.to_thread(check_while_it_runs)


def running(client: Client) -> bool:
    return bool(
        client.command(
            "SELECT count() FROM system.processes WHERE current_database = currentDatabase()"
            " AND query LIKE 'INSERT INTO event_counts%'"
        )
    )
