"""The migrations as a cluster gets them, and one server as before."""

import re
from typing import Final

import pytest

from deploy.billing.clickhouse_questions import written_for
from deploy.forgetting import tables as forgetting
from deploy.migrate import SCHEMA_MIGRATIONS
from schemas.migrations import load_migrations
from schemas.migrations.cluster import SHARDED, NotForClusters, for_cluster, local
from schemas.servers import ClickHouseSettings
from schemas.topics import DAY_MS, TOPICS
from streams.sink.store import ClickHouseStore
from tests.weir import Weir

STATEMENTS: Final = (
    SCHEMA_MIGRATIONS.strip(),
    *(each for migration in load_migrations() for each in migration.statements),
)
WRITTEN: Final = tuple(each for one in STATEMENTS for each in for_cluster(one, "weir", "events_db"))
_NAME: Final = re.compile(r"CREATE (?:MATERIALIZED )?(?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)")


def made(kind: str) -> dict[str, str]:
    """Each table or view by its name, as it is made in the end."""
    found = {}
    for statement in WRITTEN:
        if statement.startswith(f"CREATE {kind}") and (match := _NAME.match(statement)):
            found[match[1]] = statement
    return found


def test_every_table_is_replicated_and_those_of_events_are_sharded() -> None:
    tables = made("TABLE")
    distributed = {name for name, sql in tables.items() if "ENGINE = Distributed(" in sql}
    assert distributed == SHARDED
    for name, statement in tables.items():
        if name in SHARDED:
            assert f"AS {local(name)} ENGINE = Distributed('weir', 'events_db', '" in statement
            continue
        assert re.search(r"ENGINE = Replicated\w*MergeTree\(", statement), name
        place = "{shard}" if name.endswith("_local") else "everywhere"
        assert f"'/clickhouse/tables/{place}/{{database}}/{{table}}'" in statement
        replica = "{replica}" if name.endswith("_local") else "{shard}-{replica}"
        assert f"'{replica}')" in statement


def test_each_table_remembers_tokens_for_as_long_as_any_topic_is_kept() -> None:
    longest = max(topic.retention_ms for topic in TOPICS)
    for name, statement in made("TABLE").items():
        if "Distributed" in statement or name == "schema_migrations":
            continue
        assert "non_replicated" not in statement
        assert "replicated_deduplication_window = 10000" in statement, name
        seconds = re.search(r"replicated_deduplication_window_seconds = (\d+)", statement)
        assert seconds
        assert int(seconds[1]) * 1000 >= longest >= DAY_MS


def test_views_stand_between_tables_that_hold_rows() -> None:
    views = made("MATERIALIZED VIEW")
    assert len(views) >= 8
    for name, statement in views.items():
        target = re.search(r" TO (\w+) AS", statement)
        sources = set(re.findall(r"\bFROM (\w+)", statement))
        assert target, name
        assert not ({target[1]} | sources) & SHARDED, name


def test_what_is_made_or_dropped_is_so_on_every_server() -> None:
    for statement in WRITTEN:
        if statement.startswith(("CREATE", "DROP")):
            assert " ON CLUSTER `weir`" in statement
        if statement.startswith("DROP"):
            assert statement.endswith(" SYNC")
        # A table that is on every server tells its replicas itself.
        if alter := re.match(r"ALTER TABLE (\w+)", statement):
            name = alter[1].removesuffix("_local")
            assert (" ON CLUSTER `weir`" in statement) == (name in SHARDED)


def test_columns_are_added_to_both_and_indexes_to_the_rows_alone() -> None:
    for column in ("ADD COLUMN IF NOT EXISTS bot Bool", "DROP COLUMN IF EXISTS bot"):
        assert for_cluster(f"ALTER TABLE events {column}", "c", "d") == (
            f"ALTER TABLE events_local ON CLUSTER `c` {column}",
            f"ALTER TABLE events ON CLUSTER `c` {column}",
        )
    index = "ADD INDEX IF NOT EXISTS i received_at TYPE minmax GRANULARITY 1"
    assert for_cluster(f"ALTER TABLE events {index}", "c", "d") == (
        f"ALTER TABLE events_local ON CLUSTER `c` {index}",
    )


def test_an_engine_keeps_its_own_arguments() -> None:
    [statement] = for_cluster("CREATE TABLE t (a UInt8) ENGINE = ReplacingMergeTree(a)", "c", "d")
    assert "ReplicatedReplacingMergeTree('/clickhouse/tables/everywhere/" in statement
    assert statement.endswith("'{shard}-{replica}', a)")


@pytest.mark.parametrize(
    "statement",
    ["TRUNCATE TABLE events", "CREATE TABLE t (a UInt8) ENGINE = Log", "RENAME TABLE a TO b"],
)
def test_what_it_cannot_write_for_a_cluster_is_refused(statement: str) -> None:
    with pytest.raises(NotForClusters):
        for_cluster(statement, "c", "d")


@pytest.mark.services
async def test_clickhouse_reads_every_statement(weir: Weir) -> None:
    for statement in WRITTEN:
        [(read,)] = weir.query("SELECT formatQuery({statement:String})", statement=statement)
        assert read


@pytest.mark.services
async def test_one_server_gets_the_statements_as_they_stand_in_the_files(weir: Weir) -> None:
    engines = dict(
        weir.query(
            "SELECT name, engine FROM system.tables WHERE database = {name:String}", name=weir.name
        )
    )
    assert not any(engine.startswith(("Replicated", "Distributed")) for engine in engines.values())
    assert {name for name in made("TABLE") if not name.endswith("_local")} - {
        "event_counts_hourly"
    } <= engines.keys()


def test_batches_go_to_the_shard_of_their_partition() -> None:
    store = ClickHouseStore(ClickHouseSettings(), insert_timeout=1)
    assert {store.shard_of(partition) for partition in range(8)} == {0}
    assert store.known_ids == "known_ids"
    clustered = ClickHouseStore(ClickHouseSettings(clickhouse_cluster="weir"), insert_timeout=1)
    clustered._shards = 3
    assert [clustered.shard_of(partition) for partition in range(5)] == [1, 2, 3, 1, 2]
    assert clustered.known_ids == "clusterAllReplicas('weir', 'weir', 'known_ids_local')"


@pytest.mark.parametrize("table", forgetting.TABLES, ids=lambda table: table.name)
def test_a_user_is_forgotten_where_a_cluster_holds_the_rows(table: forgetting.Table) -> None:
    settings = ClickHouseSettings(clickhouse_cluster="weir")
    deleting = forgetting.deletes(table)
    [statement] = written_for(settings, deleting)
    where = deleting[deleting.index("DELETE") :]
    everywhere = " ON CLUSTER `weir`" if table.name in SHARDED else ""
    assert statement == f"ALTER TABLE {local(table.name)}{everywhere} {where}"
    assert written_for(ClickHouseSettings(), deleting) == (deleting,)
