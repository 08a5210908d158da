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
from schemas.migrations.cluster import CLUSTER_SETTINGS, for_cluster, on_cluster
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


_CLUSTER: Final = "SELECT count() FROM system.clusters WHERE cluster = {cluster:String}"
_MIGRATIONS_ENGINE: Final = """
SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'
"""


class _Server:
    """What a statement of a migration is told to: one server, or all of a cluster."""

    def __init__(self, client: Client, settings: ClickHouseSettings) -> None:
        self._client = client
        self._cluster = settings.clickhouse_cluster
        self._database = settings.database

    def apply(self, statement: str) -> None:
        """Raises NotForClusters, and clickhouse-connect's errors."""
        if not self._cluster:
            self._client.command(statement)
            return
        for each in for_cluster(statement, self._cluster, self._database):
            self._client.command(each, settings=dict(CLUSTER_SETTINGS))

    def require_fit(self) -> None:
        """Raises BrokenMigrations when the tables are not those of the settings."""
        if self._cluster:
            parameters = {"cluster": self._cluster}
            [[servers]] = self._client.query(_CLUSTER, parameters=parameters).result_rows
            if not servers:
                raise BrokenMigrations(
                    f"ClickHouse knows no cluster {self._cluster}; check WEIR_CLICKHOUSE_CLUSTER"
                )
        rows = self._client.query(_MIGRATIONS_ENGINE).result_rows
        if rows and str(rows[0][0]).startswith("Replicated") != bool(self._cluster):
            raise BrokenMigrations(
                f"the tables of {self._database} were made "
                f"{'for one server' if self._cluster else 'for a cluster'}: name another database "
                "in CLICKHOUSE_URL, or set WEIR_CLICKHOUSE_CLUSTER as it was"
            )

    def spread(self) -> None:
        """Returns when every server knows which migrations are applied."""
        if self._cluster:
            self._client.command(
                f"SYSTEM SYNC REPLICA{on_cluster(self._cluster)} "
                f"`{self._database}`.schema_migrations"
            )


def apply_migrations(settings: ClickHouseSettings, say: Callable[[str], None]) -> int:
    """Brings the database up to date and returns how many migrations it applied.

    Raises BrokenMigrations when files, settings and database do not fit, and clickhouse-connect's
    errors when the server cannot be reached or refuses.
    """
    migrations = load_migrations()
    with clickhouse_connect.get_client(**settings.clickhouse_arguments()) as server:
        cluster = settings.clickhouse_cluster
        server.command(
            "CREATE DATABASE IF NOT EXISTS {database:Identifier}"
            + (on_cluster(cluster) if cluster else ""),
            parameters={"database": settings.database},
        )
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(),
        database=settings.database,
        send_receive_timeout=STATEMENT_TIMEOUT,
    ) as client:
        tables = _Server(client, settings)
        tables.require_fit()
        tables.apply(SCHEMA_MIGRATIONS.strip())
        rows = client.query(APPLIED_MIGRATIONS).result_rows
        applied = {int(version): str(sha256) for version, sha256 in rows}
        pending = [each for each in migrations if each.version not in applied]
        present = tuple(each for each in migrations if each.version in applied)
        if problem := schema_problem(applied, present):
            raise BrokenMigrations(problem)
        for migration in pending:
            _apply(client, tables, migration)
            say(f"applied migration {migration.version:04} {migration.name}")
        tables.spread()
    return len(pending)


def _apply(client: Client, tables: _Server, migration: Migration) -> None:
    for statement in migration.statements:
        tables.apply(statement)
    client.insert(
        "schema_migrations",
        [[migration.version, migration.name, migration.sha256]],
        column_names=["version", "name", "sha256"],
    )
