"""What an event takes on Kafka and in ClickHouse: `python -m bench.sizes`.

The events of the sink's own measurement (page views with a path, a user, a visitor and three
members of metadata), written as the edge and the sink write them: in batches of lz4, and in
batches of 50,000 rows that are merged afterwards. Starts no server.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from bench.sink import ROWS_AT_ONCE, KafkaMessage, messages
from deploy.local.clickhouse.engine import Connection, Engine
from schemas.migrations import load_migrations
from schemas.topics import PAGE_VIEWS
from streams.sink.records import Source
from streams.sink.rows import EVENT_COLUMNS, encode_rows, event_rows

EVENTS: Final = 1_000_000
EVENTS_IN_A_BATCH: Final = 100
"""Of Kafka: what a producer under load gathers, or a client sends at once."""
LZ4: Final = 3
MEMORY: Final = 2_147_483_648
TABLES: Final = ("events", "event_counts", "known_ids")


def kafka_bytes(made: list[tuple[bytes, bytes]]) -> float:
    """Of one event in a batch, keys and the batch's own head included."""
    total = 0
    for start in range(0, len(made), EVENTS_IN_A_BATCH):
        builder = DefaultRecordBatchBuilder(2, LZ4, 0, -1, -1, -1, 1_048_576)
        for offset, (key, value) in enumerate(made[start : start + EVENTS_IN_A_BATCH]):
            builder.append(offset, 1_795_520_000_000 + offset, key, value, [])
        total += len(builder.build())
    return total / len(made)


def clickhouse_bytes(made: list[tuple[bytes, bytes]], folder: Path) -> dict[str, float]:
    """Of one event in each table, merged."""
    engine = Engine(folder, max_memory=MEMORY)
    connection = engine.connect()
    for migration in load_migrations():
        for statement in migration.statements:
            connection.query(statement, "TabSeparated")
    for rows in _blocks(made):
        connection.query(
            f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) FORMAT JSONCompactEachRow "
            + rows.decode(),
            "TabSeparated",
        )
    sizes = {}
    for table in TABLES:
        connection.query(f"OPTIMIZE TABLE {table} FINAL", "TabSeparated")
        sizes[table] = _on_disk(connection, table) / len(made)
    connection.close()
    engine.close()
    return sizes


def _on_disk(connection: Connection, table: str) -> int:
    data, _ = connection.query(
        f"SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = '{table}'",  # noqa: S608
        "TabSeparated",
    )
    return int(data)


def _blocks(made: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    source = Source(TopicPartition(PAGE_VIEWS.name, 0), 1)
    for start in range(0, len(made), ROWS_AT_ONCE):
        records = [
            KafkaMessage(start + number, now_ms + (start + number) // 50, key, value)
            for number, (key, value) in enumerate(made[start : start + ROWS_AT_ONCE])
        ]
        yield encode_rows(event_rows(PAGE_VIEWS, source, records).rows)


def main() -> None:
    made = messages(EVENTS)
    plain = sum(len(key) + len(value) for key, value in made) / len(made)
    print(f"an event: {plain:.0f} bytes as JSON with its key")
    print(f"on Kafka, in batches of {EVENTS_IN_A_BATCH}, lz4: {kafka_bytes(made):.0f} bytes")
    with TemporaryDirectory() as folder:
        for table, size in clickhouse_bytes(made, Path(folder)).items():
            print(f"in ClickHouse, {table}: {size:.1f} bytes")


if __name__ == "__main__":
    main()
