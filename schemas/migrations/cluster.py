"""The same migrations for ClickHouse on several servers: replicated tables, some of them sharded.

Tables that grow with the events are sharded: each shard has `NAME_local`, and under the table's own
name every server has a Distributed table over all shards, which is what questions name. All other
tables are whole on every server of every shard, so that questions may join them.
"""

import re
from collections.abc import Callable, Iterator
from re import Match
from typing import Final

from schemas.migrations import BrokenMigrations

SHARDED: Final = frozenset({"events", "event_counts_hourly", "event_counts", "known_ids"})
LOCAL: Final = "_local"

TOKEN_SECONDS: Final = 35 * 86_400
"""How long a token is remembered: as long as any topic is kept. ClickHouse's own is an hour."""

CLUSTER_SETTINGS: Final = {
    # A view that reads a new column is made on a replica that has it.
    "alter_sync": 2,
    # What fills a sharded table from what is there (nothing, in a cluster's own migrations so far)
    # lies on the first shard: questions add up all of them.
    "insert_shard_id": 1,
    "distributed_foreground_insert": 1,
}
"""Of every statement of a migration in a cluster."""

EVENTS_ENGINE: Final = """
SELECT any(engine) FROM system.tables WHERE database = currentDatabase() AND name = 'events'
"""
SHARDS: Final = "SELECT max(shard_num) FROM system.clusters WHERE cluster = {cluster:String}"

_CREATE_TABLE: Final = re.compile(r"(CREATE TABLE (?:IF NOT EXISTS )?)(\w+)(?=\s*\()")
_ENGINE: Final = re.compile(r"\bENGINE = (\w*MergeTree)\b(?:\(([^)]*)\))?")
_WINDOW: Final = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
_MATERIALIZED: Final = re.compile(
    r"(CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?\w+)( TO )(\w+)( AS\s.*)", re.DOTALL
)
_VIEW: Final = re.compile(r"(CREATE VIEW (?:IF NOT EXISTS )?\w+)( AS\s.*)", re.DOTALL)
_FROM: Final = re.compile(r"\b(FROM|JOIN) (\w+)\b")
_ALTER: Final = re.compile(r"(ALTER TABLE )(\w+)(\s.*)", re.DOTALL)
_COLUMNS: Final = re.compile(r"\s*(?:ADD|DROP|RENAME|COMMENT|MODIFY) COLUMN\b")
_DROP: Final = re.compile(r"(DROP (?:TABLE|VIEW) IF EXISTS )(\w+)")
_INSERT: Final = re.compile(r"INSERT INTO \w+\s+SELECT\b")


def placement_problem(engine: str, shards: int, cluster: str) -> str | None:
    """Why tables that are there are not those of the settings, or None.

    `engine`: that of `events`; `shards`: of the cluster that the settings name, or 0.
    """
    if (engine == "Distributed") != bool(cluster):
        if cluster:
            return "its tables are those of one server; leave WEIR_CLICKHOUSE_CLUSTER empty"
        return "its tables are those of a cluster; set WEIR_CLICKHOUSE_CLUSTER to its name"
    if cluster and not shards:
        return f"no cluster {cluster} is known; check WEIR_CLICKHOUSE_CLUSTER"
    return None


class NotForClusters(BrokenMigrations):
    """A statement that this cannot write for a cluster; the message names it."""


def local(table: str) -> str:
    """The table that holds rows: a shard's part of it where it is sharded."""
    return table + LOCAL if table in SHARDED else table


def on_cluster(cluster: str) -> str:
    """The clause by which a statement runs on every server."""
    return f" ON CLUSTER `{cluster}`"


def for_cluster(statement: str, cluster: str, database: str) -> tuple[str, ...]:
    """The statements that do in a cluster what one does on one server. Raises NotForClusters."""
    for pattern, written in _FORMS:
        if match := pattern.match(statement):
            return tuple(written(match, cluster, database))
    raise NotForClusters(
        f"{statement.splitlines()[0][:80]}: schemas/migrations/cluster.py does not know how to "
        "write this for a cluster"
    )


def _table(match: Match[str], cluster: str, database: str) -> Iterator[str]:
    head, table = match.groups()
    body = match.string[match.end() :]
    if len(_ENGINE.findall(body)) != 1:
        raise NotForClusters(f"{head}{table}: it must have one engine, of the MergeTree family")
    body = _WINDOW.sub(
        r"replicated_deduplication_window = \1, "
        f"replicated_deduplication_window_seconds = {TOKEN_SECONDS}",
        _ENGINE.sub(_replicated_in(table), body),
    )
    yield f"{head}{local(table)}{on_cluster(cluster)}{body}"
    if table in SHARDED:
        # Without a sharding key: whoever inserts names the shard, or is refused.
        yield (
            f"{head}{table}{on_cluster(cluster)} AS {local(table)} "
            f"ENGINE = Distributed('{cluster}', '{database}', '{local(table)}')"
        )


def _replicated_in(table: str) -> Callable[[Match[str]], str]:
    """The engine, with its place in Keeper: the name, so that a server that is added finds it."""
    if table in SHARDED:
        place = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
    else:
        place = "'/clickhouse/tables/everywhere/{database}/{table}', '{shard}-{replica}'"

    def replicated(engine: Match[str]) -> str:
        arguments = f"{place}, {engine[2]}" if engine[2] else place
        return f"ENGINE = Replicated{engine[1]}({arguments})"

    return replicated


def _materialized(match: Match[str], cluster: str, _: str) -> Iterator[str]:
    head, to, target, select = match.groups()
    # A view sees what is inserted on its server: into the parts, not into the Distributed table.
    source = _FROM.sub(lambda found: f"{found[1]} {local(found[2])}", select)
    yield f"{head}{on_cluster(cluster)}{to}{local(target)}{source}"


def _view(match: Match[str], cluster: str, _: str) -> Iterator[str]:
    yield f"{match[1]}{on_cluster(cluster)}{match[2]}"


def _alter(match: Match[str], cluster: str, _: str) -> Iterator[str]:
    alter, table, commands = match.groups()
    if table not in SHARDED:
        # One replica tells all others, which here are all servers.
        yield match.string
        return
    yield f"{alter}{local(table)}{on_cluster(cluster)}{commands}"
    # A Distributed table has columns, and neither indexes nor rows that expire.
    if _COLUMNS.match(commands):
        yield f"{alter}{table}{on_cluster(cluster)}{commands}"


def _drop(match: Match[str], cluster: str, _: str) -> Iterator[str]:
    drop, name = match.groups()
    if name in SHARDED:
        yield f"{drop}{name}{on_cluster(cluster)} SYNC"
    # Waited for: what is made anew under the name takes the same place in Keeper.
    yield f"{drop}{local(name)}{on_cluster(cluster)} SYNC"


def _insert(match: Match[str], _: str, __: str) -> Iterator[str]:
    yield match.string


_FORMS: Final = (
    (_CREATE_TABLE, _table),
    (_MATERIALIZED, _materialized),
    (_VIEW, _view),
    (_ALTER, _alter),
    (_DROP, _drop),
    (_INSERT, _insert),
)
