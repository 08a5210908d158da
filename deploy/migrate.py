"""Applies ClickHouse's migrations, in order, each once; safe to run again after a kill."""

from collections.abc import Callable
from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from schemas.migrations import (
    APPLIED_MIGRATIONS,
    BrokenMigrations,
    Migration,
    load_migrations,
    schema_problem,
)
from schemas.servers import ClickHouseSettings

STATEMENT_TIMEOUT: Final = 6 * 3600
"""Seconds: a migration may fill a table from all events, 40 s for a million of them."""

# One row for each applied migration; a migrator killed before its row applies the file again,
# which is why each statement says IF NOT EXISTS. By version, since that is the only question.
SCHEMA_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32,
    name       String,
    sha256     String,
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY version
"""


def apply_migrations(settings: ClickHouseSettings, say: Callable[[str], None]) -> int:
    """Brings the database up to date and returns how many migrations it applied.

    Raises BrokenMigrations when files and database do not fit, and clickhouse-connect's errors
    when the server cannot be reached or refuses.
    """
    migrations = load_migrations()
    with clickhouse_connect.get_client(**settings.clickhouse_arguments()) as server:
        server.command(
            "CREATE DATABASE IF NOT EXISTS {database:Identifier}",
            parameters={"database": settings.database},
        )
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(),
        database=settings.database,
        send_receive_timeout=STATEMENT_TIMEOUT,
    ) as client:
        client.command(SCHEMA_MIGRATIONS)
        rows = client.query(APPLIED_MIGRATIONS).result_rows
        applied = {int(version): str(sha256) for version, sha256 in rows}
        pending = [each for each in migrations if each.version not in applied]
        present = tuple(each for each in migrations if each.version in applied)
        if problem := schema_problem(applied, present):
            raise BrokenMigrations(problem)
        for migration in pending:
            _apply(client, migration)
            say(f"applied migration {migration.version:04} {migration.name}")
    return len(pending)


def _apply(client: Client, migration: Migration) -> None:
    for statement in migration.statements:
        client.command(statement)
    client.insert(
        "schema_migrations",
        [[migration.version, migration.name, migration.sha256]],
        column_names=["version", "name", "sha256"],
    )
